import ELFImage
import PatchFile
import Patchability
import Synchronization

/// What linking takes of patches that is the same in every process. Who uses the same
/// for many processes works it out once.
public final class PatchPreparations: Sendable {
    private let known = Mutex<[[UInt8]: PatchPreparation]>([:])

    public init() {}

    /// Throws what is wrong with the patch's object.
    func preparation(of patch: PatchFile) throws(LinkError) -> PatchPreparation {
        if let known = known.withLock({ $0[patch.digest] }) { return known }
        let made = try PatchPreparation(patch)
        // Another thread may have made one as well; either serves.
        known.withLock { $0[patch.digest] = made }
        return made
    }
}

/// What is known of one patch, whatever process it goes into.
final class PatchPreparation: Sendable {
    /// What of its object is loaded.
    let pieces: [PatchObject.Piece]
    /// The symbols of its object, by index.
    let symbols: [Symbol]
    private let isSelfContained: Bool

    private struct Found {
        var isConfined: Bool?
        /// By the original's code from the site on, and the bytes of it to be covered.
        var movedEntries: [Entry: Result<MovedEntry, MoveRefusal>] = [:]
        /// By everything that the length of a record depends on.
        var headerSizes: [[Int]: UInt64] = [:]
    }
    private struct Entry: Hashable {
        let code: [UInt8]
        let length: UInt64
    }
    private let found = Mutex(Found())

    init(_ patch: PatchFile) throws(LinkError) {
        do throws(ELFError) {
            pieces = try PatchObject.pieces(of: patch.object)
            symbols = try PatchObject.symbols(of: patch.object)
        } catch {
            throw .object(error)
        }
        isSelfContained = patch.manifest.imports.isEmpty
    }

    func movedEntry(
        of code: [UInt8], covering length: UInt64
    ) -> Result<MovedEntry, MoveRefusal> {
        let entry = Entry(code: code, length: length)
        if let known = found.withLock({ $0.movedEntries[entry] }) { return known }
        let result = Result { () throws(MoveRefusal) in
            try MovedEntry(code: code, covering: Int(length))
        }
        found.withLock { found in
            // A patch has one base, which has one code at each site.
            if found.movedEntries.count >= 10_000 { found.movedEntries.removeAll() }
            found.movedEntries[entry] = result
        }
        return result
    }

    /// ``Confinement``. What is imported may be of another kind in another process.
    func isConfined(_ object: PatchObject, _ manifest: PatchManifest) -> Bool {
        if isSelfContained, let known = found.withLock({ $0.isConfined }) { return known }
        let isConfined = Confinement.holds(for: object, manifest)
        found.withLock { $0.isConfined = isConfined }
        return isConfined
    }

    /// The size of the header of a payload of this patch. Addresses have the same length
    /// wherever it lies.
    func headerSize(of record: PayloadRecord) -> UInt64 {
        var shape = [record.isConfined ? 1 : 0] + record.object.utf8.map(Int.init)
        for detour in record.detours {
            let padding = detour.island?.padding.count ?? -1
            shape += [detour.original.count, padding, detour.moved == nil ? 0 : 1]
            shape.append(detour.replaced.count)
        }
        if let known = found.withLock({ $0.headerSizes[shape] }) { return known }
        let size = UInt64(PayloadHeader.encode(record).count)
        found.withLock { found in
            // Each path is that of another name or copy of the one base.
            if found.headerSizes.count >= 1000 { found.headerSizes.removeAll() }
            found.headerSizes[shape] = size
        }
        return size
    }
}
