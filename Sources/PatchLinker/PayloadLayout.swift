import Addresses
import ELFImage
import PatchFile

/// Where everything stands in a payload, as offsets from its start.
struct PayloadLayout {
    /// One entry of the global offset table.
    enum Word: Hashable {
        /// The address of a symbol, as code sees it.
        case address(PatchObject.Meaning)
        /// A thread-local variable's distance from the thread pointer.
        case threadPointerOffset(PatchObject.Meaning)
        /// The module and offset that `__tls_get_addr` takes: two words.
        case moduleAndOffset(PatchObject.Meaning)
        /// Where the resolver of an indirect function is.
        case resolver(SymbolResolution)

        var size: UInt64 {
            if case .moduleAndOffset = self { return 16 }
            return 8
        }
    }

    /// Of each loaded section, by its index.
    private(set) var sections: [Int: UInt64] = [:]
    /// Of each word of the global offset table.
    private(set) var words: [Word: UInt64] = [:]
    /// Of the stub for each far or indirect function; two symbols that are one
    /// function share it.
    private(set) var stubs: [SymbolResolution: UInt64] = [:]
    /// Of the writable word of each indirect function.
    private(set) var resolvedWords: [SymbolResolution: UInt64] = [:]
    /// Of the thunk before each replacement, by the function's index in the
    /// manifest; none where the detour may lead straight to it.
    private(set) var thunks: [Int: UInt64] = [:]

    /// Of what runs once; nil where nothing does.
    private(set) var once: OnceLayout?
    /// Of each detour's stub, by the function's index.
    private(set) var detourStubs: [UInt64] = []
    /// Of each original's moved entry, by the function's index; nil where it
    /// cannot be moved.
    private(set) var movedEntries: [UInt64?] = []
    let detourCount: Int
    /// Of the unwind tables: that of the thunks, and behind it that of the object. Where
    /// they are registered, a word of zero follows, which ends them.
    private(set) var unwind: Range<UInt64> = 0..<0

    /// Whole pages.
    private(set) var readOnly: UInt64 = 0
    private(set) var code: UInt64 = 0
    private(set) var writable: UInt64 = 0

    init(
        of object: PatchObject, _ manifest: PatchManifest, movedEntries moved: [MovedEntry?],
        headerSize: UInt64
    ) throws(LinkError) {
        let functions = manifest.functions
        detourCount = functions.count
        var once = OnceLayout(manifest.runsOnce)
        let needs = try Needs(of: object)
        for piece in object.pieces where piece.section.alignment > PayloadExtent.pageSize {
            throw .alignment(section: piece.section.name, alignment: piece.section.alignment)
        }
        var cursor = headerSize
        for word in needs.words { words[word] = take(word.size, aligned: 8, from: &cursor) }
        if let calls = once?.calls {
            once?.table = take(OnceRoutine.tableSize(calls: calls), aligned: 8, from: &cursor)
        }
        let thunkCount = functions.count { $0.contract != nil }
        let unwindStart = take(
            ThunkFrames.size(
                thunks: thunkCount + (once == nil ? 0 : 1),
                gates: once == nil ? 0 : functions.count),
            aligned: 8, from: &cursor)
        place(object.pieces.filter(\.isUnwindTable), in: .readOnly, from: &cursor)
        unwind = unwindStart..<cursor
        if once != nil { _ = take(4, aligned: 1, from: &cursor) }
        place(object.pieces.filter { !$0.isUnwindTable }, in: .readOnly, from: &cursor)
        let codeStart = pageAligned(cursor)
        readOnly = codeStart

        cursor = codeStart
        place(object.pieces, in: .code, from: &cursor)
        for binding in needs.stubs {
            stubs[binding] = take(Self.stubLength(binding), aligned: 16, from: &cursor)
        }
        for (index, function) in functions.enumerated() {
            guard let contract = function.contract else { continue }
            thunks[index] = take(
                EntryThunk.length(for: contract), aligned: 16, from: &cursor)
        }
        if once != nil {
            once?.routine = take(
                OnceRoutine.length, aligned: OnceRoutine.alignment, from: &cursor)
            once?.gates = functions.map { _ in take(Gate.length, aligned: 16, from: &cursor) }
        }
        for entry in moved {
            detourStubs.append(take(DetourStub.length, aligned: 16, from: &cursor))
            movedEntries.append(
                entry.map { take(UInt64($0.size), aligned: 16, from: &cursor) })
        }
        let dataStart = max(pageAligned(cursor), codeStart + PayloadExtent.pageSize)
        code = dataStart - codeStart

        cursor = dataStart + PayloadState.size(detourCount: detourCount)
        if once != nil {
            once?.block = take(OnceRoutine.blockSize, aligned: 16, from: &cursor)
            once?.objects = manifest.runsOnce.registries.map { _ in
                take(OnceRoutine.registrySize, aligned: 16, from: &cursor)
            }
        }
        for binding in needs.stubs where binding.isIndirect {
            resolvedWords[binding] = take(8, aligned: 8, from: &cursor)
        }
        place(object.pieces, in: .writable, from: &cursor)
        writable = pageAligned(cursor) - dataStart
        self.once = once
    }

    /// Where the unwind tables are in a payload at `start`, whose range was checked.
    func unwind(at start: RemoteAddress) -> AddressRange<RemoteAddress> {
        let address = RemoteAddress(rawValue: start.rawValue &+ unwind.lowerBound)
        return AddressRange(start: address, count: UInt64(unwind.count))
            ?? AddressRange(emptyAt: address)
    }

    private enum Region { case readOnly, code, writable }

    private func region(of section: Section) -> Region {
        if section.isExecutable { return .code }
        // Constant but for relocations, which are done before it is mapped.
        if section.name.hasPrefix(".data.rel.ro") { return .readOnly }
        return section.flags.contains(.writable) ? .writable : .readOnly
    }

    private mutating func place(
        _ pieces: [PatchObject.Piece], in region: Region, from cursor: inout UInt64
    ) {
        for piece in pieces where self.region(of: piece.section) == region {
            let section = piece.section
            sections[section.index] = take(
                section.size, aligned: max(section.alignment, 1), from: &cursor)
        }
    }

    /// Sizes are those of a verified file, far from overflowing.
    private func take(
        _ size: UInt64, aligned alignment: UInt64, from cursor: inout UInt64
    ) -> UInt64 {
        let offset = (cursor + alignment - 1) / alignment * alignment
        cursor = offset + size
        return offset
    }

    private func pageAligned(_ offset: UInt64) -> UInt64 {
        (offset + PayloadExtent.pageSize - 1) & ~(PayloadExtent.pageSize - 1)
    }

    private static func stubLength(_ binding: SymbolResolution) -> UInt64 {
        guard binding.isIndirect else { return CallStub.directLength }
        let nowhere = RemoteAddress(rawValue: 1 << 32)
        let stub = CallStub.resolving(at: nowhere, through: nowhere, resolverWord: nowhere)
        return UInt64(stub?.code.count ?? 0)
    }
}

extension PatchRelocation {
    /// Whether it takes the address itself in 32 bits, which a far one does not fit
    /// into.
    fileprivate var isNarrow: Bool {
        [.plt32, .pc32, .absolute32, .absolute32Signed].contains(self)
    }
}

extension PatchObject.Piece {
    fileprivate var isUnwindTable: Bool { section.name == ".eh_frame" }
}

extension SymbolResolution {
    var isIndirect: Bool {
        if case .indirect = self { return true }
        return false
    }
}

/// Which table words and stubs an object's relocations ask for, each once, in the
/// order in which they come.
private struct Needs {
    private(set) var words: [PayloadLayout.Word] = []
    private(set) var stubs: [SymbolResolution] = []
    private var known: Set<PayloadLayout.Word> = []
    private var knownStubs: Set<SymbolResolution> = []

    init(of object: PatchObject) throws(LinkError) {
        for piece in object.pieces {
            for relocation in piece.relocations {
                try add(relocation, in: piece.section, of: object)
            }
        }
    }

    private mutating func add(
        _ relocation: Relocation, in section: Section, of object: PatchObject
    ) throws(LinkError) {
        guard let type = PatchRelocation(rawValue: relocation.type.rawValue), type != .none else {
            return
        }
        let (meaning, _) = try object.reference(of: relocation, in: section)
        switch type {
        case .gotPCRelative, .gotPCRelativeRelaxable, .rexGOTPCRelativeRelaxable:
            add(.address(meaning))
        case .tlsInitialExec: add(.threadPointerOffset(meaning))
        case .tlsGeneralDynamic: add(.moduleAndOffset(meaning))
        default: break
        }
        guard case .bound(let binding) = meaning else { return }
        switch binding {
        case .indirect:
            add(binding)
            add(.resolver(binding))
        case .far(_, isFunction: true) where type.isNarrow:
            add(binding)
            add(.address(meaning))
        case .absent where type == .plt32:
            // A call that is made only where the function is there.
            add(binding)
            add(.address(meaning))
        default: break
        }
    }

    private mutating func add(_ word: PayloadLayout.Word) {
        if known.insert(word).inserted { words.append(word) }
    }

    private mutating func add(_ stub: SymbolResolution) {
        if knownStubs.insert(stub).inserted { stubs.append(stub) }
    }
}
