import Addresses
import ELFImage
import JSONText
import PatchFile
import Patchability

/// A patch ready to be linked at any address: its symbols are bound to one
/// process, and everything that it needs has its place in the payload.
///
/// The payload is one image of three regions (``PayloadExtent``):
///
///     read-only   header and record, global offset table, unwind tables, constants
///     code        the patch's functions, call stubs, entry thunks, and for each
///                 detour its stub and the original's moved entry
///     writable    state (``PayloadState``), words of IFUNC stubs, data
public struct PayloadPlan {
    let manifest: PatchManifest
    /// BLAKE2b-256 of the patch file, in hexadecimal.
    public let digest: String
    let object: PatchObject
    let target: PatchedObject
    let layout: PayloadLayout
    /// The first instructions of each original, ready to be moved.
    let movedEntries: [MovedEntry?]
    private let isConfined: Bool
    private let registries: [RemoteAddress]
    /// By symbol, why an original's first instructions cannot be moved.
    public let moveRefusals: [String: MoveRefusal]

    /// - Parameters:
    ///   - bindings: what each name in the manifest's `baseSymbols` and `imports`
    ///     is in the process.
    ///   - registries: where those of the manifest's unwinders are.
    ///   - preparations: who links the same for many processes gives the same.
    public init(
        patch: PatchFile, bindings: [String: SymbolResolution],
        registries: [RemoteAddress] = [], target: PatchedObject,
        preparations: PatchPreparations = PatchPreparations()
    ) throws(LinkError) {
        let preparation = try preparations.preparation(of: patch)
        manifest = patch.manifest
        self.registries = registries
        digest = Hexadecimal.text(patch.digest)
        object = try PatchObject(
            preparation, functions: manifest.functions, bias: target.bias, bindings: bindings)
        self.target = target
        isConfined = preparation.isConfined(object, manifest)
        (movedEntries, moveRefusals) = Self.movedEntries(
            of: manifest.functions, in: target, preparation)
        for function in manifest.functions where function.callsOriginal {
            guard let refusal = moveRefusals[function.symbol] else { continue }
            throw .originalCannotMove(symbol: function.symbol, refusal)
        }
        let nowhere = RemoteAddress(rawValue: 0)
        let places = movedEntries.map {
            Places(entry: nowhere, stub: nowhere, moved: $0 == nil ? nil : nowhere)
        }
        let record = Self.record(
            patch.manifest, digest: digest, target: target,
            extent: PayloadExtent(start: nowhere, readOnly: 0, code: 0, writable: 0),
            unwind: AddressRange(emptyAt: nowhere), isConfined: isConfined,
            onceWord: patch.manifest.runsOnce.isEmpty ? nil : nowhere, places: places)
        layout = try PayloadLayout(
            of: object, manifest, movedEntries: movedEntries,
            headerSize: preparation.headerSize(of: record))
    }

    private static func movedEntries(
        of functions: [ReplacedFunction], in target: PatchedObject,
        _ preparation: PatchPreparation
    ) -> ([MovedEntry?], [String: MoveRefusal]) {
        var entries: [MovedEntry?] = []
        var refusals: [String: MoveRefusal] = [:]
        for function in functions {
            let code = target.entryCode[function.site] ?? []
            switch preparation.movedEntry(of: code, covering: function.siteLength) {
            case .success(let entry): entries.append(entry)
            case .failure(let refusal):
                refusals[function.symbol] = refusal
                entries.append(nil)
            }
        }
        return (entries, refusals)
    }

    /// Bytes of address space that the payload takes, a multiple of the page size.
    public var size: UInt64 { layout.readOnly + layout.code + layout.writable }

    /// The payload as it is to stand at `start`, a page's address.
    public func link(at start: RemoteAddress) throws(LinkError) -> LinkedPayload {
        let extent = PayloadExtent(
            start: start, readOnly: layout.readOnly, code: layout.code, writable: layout.writable)
        guard let range = extent.range else { throw .noRoom(bytes: size, object: target.range) }
        var image = PayloadImage(start: start, count: Int(range.count))
        let linker = Relocator(object: object, layout: layout, start: start)
        try linker.copySections(into: &image)
        try linker.fillOffsetTable(in: &image)
        try linker.writeStubs(into: &image)
        try linker.relocate(&image)
        let once = try linker.writeOnce(manifest.runsOnce, registries, into: &image)
        let entries = try linker.writeThunks(for: manifest.functions, into: &image)
        try linker.writeThunkFrames(for: manifest.functions, into: &image)
        let stubs = try linker.writeDetourStubs(into: &image)
        let moved = linker.writeMovedEntries(
            movedEntries, of: manifest.functions.map { target.bias.remote($0.site) }, into: &image)
        for (function, moved) in zip(manifest.functions, moved)
        where function.callsOriginal && moved == nil {
            throw .originalOutOfReach(symbol: function.symbol, payload: start)
        }
        let places = entries.indices.map {
            Places(entry: entries[$0], stub: stubs[$0], moved: moved[$0])
        }
        let record = Self.record(
            manifest, digest: digest, target: target, extent: extent,
            unwind: layout.unwind(at: start), isConfined: isConfined,
            onceWord: once?.place, places: places)
        for detour in record.detours where !detour.isReachable {
            throw LinkError.outOfRange(
                relocation: "the detour", symbol: detour.symbol, place: detour.site,
                target: detour.entry)
        }
        image.write(PayloadHeader.encode(record), at: 0)
        image.write(
            PayloadState(detourCount: record.detours.count).bytes,
            at: layout.readOnly + layout.code)
        return LinkedPayload(record: record, image: image.bytes, once: once)
    }

    /// Where the parts of one detour stand.
    private struct Places {
        let entry: RemoteAddress
        let stub: RemoteAddress
        let moved: RemoteAddress?
    }

    private static func record(
        _ manifest: PatchManifest, digest: String, target: PatchedObject, extent: PayloadExtent,
        unwind: AddressRange<RemoteAddress>, isConfined: Bool, onceWord: RemoteAddress?,
        places: [Places]
    ) -> PayloadRecord {
        let bias = target.bias
        let detours = zip(manifest.functions, places).map { function, places in
            PayloadRecord.Detour(
                symbol: function.symbol, site: bias.remote(function.site),
                original: Array(
                    (target.entryCode[function.site] ?? []).prefix(Int(function.siteLength))),
                island: function.island.map {
                    PayloadRecord.Detour.Island(
                        address: bias.remote($0), padding: target.padding[$0] ?? [])
                },
                entry: places.entry, stub: places.stub, moved: places.moved,
                replaced: ([function.range] + function.fragments).compactMap { bias.remote($0) })
        }
        return PayloadRecord(
            name: manifest.name, version: manifest.version, digest: digest,
            base: manifest.base.identity.description, object: target.path, bias: bias,
            extent: extent, unwind: unwind, isConfined: isConfined,
            callbacks: manifest.runsOnce.callbacks, onceWord: onceWord, detours: detours)
    }
}

/// The object of the process that a patch changes.
public struct PatchedObject {
    public let path: String
    public let bias: LoadBias
    /// From its first to its last mapped byte.
    public let range: AddressRange<RemoteAddress>
    /// What the base has from each site on: as many bytes as moving the entry's
    /// instructions may take (``entryLength``), fewer where the section ends.
    public let entryCode: [LinkAddress: [UInt8]]
    /// What the base has on each island: five bytes of padding.
    public let padding: [LinkAddress: [UInt8]]

    /// Five bytes of a detour, where the last instruction may begin at the last
    /// of them and is at most 15 bytes long (SDM vol. 2, 2.3.11).
    public static let entryLength: UInt64 = 20

    public init(
        path: String, bias: LoadBias, range: AddressRange<RemoteAddress>,
        entryCode: [LinkAddress: [UInt8]], padding: [LinkAddress: [UInt8]]
    ) {
        self.path = path
        self.bias = bias
        self.range = range
        self.entryCode = entryCode
        self.padding = padding
    }
}

/// A payload with every address filled in.
public struct LinkedPayload {
    public let record: PayloadRecord
    /// The bytes of all three regions in a row.
    public let image: [UInt8]
    /// Where it keeps what it has run; nil where nothing runs once.
    public let once: OnceBlock?

    /// What must be the same where a payload of the same patch is in the process
    /// already: everything that the process cannot have changed by running it.
    public var constantPart: ArraySlice<UInt8> {
        image[0..<Int(record.extent.readOnly + record.extent.code)]
    }
}

/// The bytes of a payload while it is linked.
struct PayloadImage {
    let start: RemoteAddress
    private(set) var bytes: [UInt8]

    init(start: RemoteAddress, count: Int) {
        self.start = start
        bytes = Array(repeating: 0, count: count)
    }

    /// The layout has made room for whatever is written.
    mutating func write(_ source: [UInt8], at offset: UInt64) {
        let offset = Int(offset)
        precondition(offset + source.count <= bytes.count, "the layout is too small")
        bytes.replaceSubrange(offset..<offset + source.count, with: source)
    }
}
