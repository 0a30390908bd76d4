import Addresses
import ELFImage
import JSONText
import PatchFile

/// A patch ready to be linked at any address: its symbols are bound to one
/// process, and everything that it needs has its place in the payload.
///
/// The payload is one image of three regions (``PayloadExtent``):
///
///     read-only   header and record, global offset table, constants
///     code        the patch's functions, call stubs, entry thunks
///     writable    state (``PayloadState``), words of IFUNC stubs, data
public struct PayloadPlan {
    let manifest: PatchManifest
    /// BLAKE2b-256 of the patch file, in hexadecimal.
    public let digest: String
    let object: PatchObject
    let target: PatchedObject
    let layout: PayloadLayout

    /// - Parameters:
    ///   - bindings: what each name in the manifest's `baseSymbols` and `imports`
    ///     is in the process.
    public init(
        patch: PatchFile, bindings: [String: SymbolResolution], target: PatchedObject
    ) throws(LinkError) {
        manifest = patch.manifest
        digest = Hexadecimal.text(patch.digest)
        object = try PatchObject(patch.object, bindings: bindings)
        self.target = target
        let record = Self.record(
            patch.manifest, digest: digest, target: target,
            extent: PayloadExtent(
                start: RemoteAddress(rawValue: 0), readOnly: 0, code: 0, writable: 0),
            entries: patch.manifest.functions.map { _ in RemoteAddress(rawValue: 0) })
        layout = try PayloadLayout(
            of: object, functions: manifest.functions,
            headerSize: UInt64(PayloadHeader.encode(record).count))
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
        let entries = try linker.writeThunks(for: manifest.functions, into: &image)
        let record = Self.record(
            manifest, digest: digest, target: target, extent: extent, entries: entries)
        for detour in record.detours where detour.jump == nil {
            throw LinkError.outOfRange(
                relocation: "the detour", symbol: detour.symbol, place: detour.site,
                target: detour.entry)
        }
        image.write(PayloadHeader.encode(record), at: 0)
        image.write(PayloadState.initial, at: layout.readOnly + layout.code)
        return LinkedPayload(record: record, image: image.bytes)
    }

    private static func record(
        _ manifest: PatchManifest, digest: String, target: PatchedObject, extent: PayloadExtent,
        entries: [RemoteAddress]
    ) -> PayloadRecord {
        let bias = target.bias
        let detours = zip(manifest.functions, entries).map { function, entry in
            PayloadRecord.Detour(
                symbol: function.symbol, site: bias.remote(function.site),
                original: target.siteBytes[function.site] ?? [], entry: entry,
                replaced: ([function.range] + function.fragments).compactMap { bias.remote($0) })
        }
        return PayloadRecord(
            name: manifest.name, version: manifest.version, digest: digest,
            base: manifest.base.identity.description, object: target.path, bias: bias,
            extent: extent, detours: detours)
    }
}

/// The object of the process that a patch changes.
public struct PatchedObject {
    public let path: String
    public let bias: LoadBias
    /// From its first to its last mapped byte.
    public let range: AddressRange<RemoteAddress>
    /// The five bytes that stand at each site, as read from the process.
    public let siteBytes: [LinkAddress: [UInt8]]

    public init(
        path: String, bias: LoadBias, range: AddressRange<RemoteAddress>,
        siteBytes: [LinkAddress: [UInt8]]
    ) {
        self.path = path
        self.bias = bias
        self.range = range
        self.siteBytes = siteBytes
    }
}

/// A payload with every address filled in.
public struct LinkedPayload {
    public let record: PayloadRecord
    /// The bytes of all three regions in a row.
    public let image: [UInt8]

    /// What must be the same where a payload of the same patch is in the process
    /// already: everything that the process cannot have changed by running it.
    public var constantPart: ArraySlice<UInt8> {
        image[0..<Int(record.extent.readOnly + record.extent.code)]
    }
}

/// The first bytes of a payload's writable region: what changes while it is there.
///
///     0   8  "HPSTATE1"
///     8   8  when it was last switched in, seconds since 1970; 0 for never
public enum PayloadState {
    public static let size = 64
    static let magic: [UInt8] = Array("HPSTATE1".utf8)

    static var initial: [UInt8] { magic + [UInt8](repeating: 0, count: size - magic.count) }

    /// The bytes to write when the payload is switched in.
    public static func bytes(appliedAt seconds: UInt64) -> [UInt8] {
        magic + PayloadHeader.littleEndian(seconds)
    }

    /// Whether the payload was filled to its end: the mark at its last region's
    /// start is part of what is written.
    public static func isComplete(_ bytes: [UInt8]) -> Bool { bytes.starts(with: magic) }

    /// When the payload was switched in, or nil where the bytes do not tell.
    public static func appliedAt(_ bytes: [UInt8]) -> UInt64? {
        guard isComplete(bytes), let seconds = ByteView(bytes).load(8, as: UInt64.self),
            seconds != 0
        else { return nil }
        return seconds
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
