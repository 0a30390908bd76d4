import Addresses
import ELFImage
import Patchability

/// What one section of an object holds. With -ffunction-sections and
/// -fdata-sections that is one function or one datum.
struct Atom: Sendable {
    enum Kind: Hashable {
        case code
        /// Written by nobody but the loader.
        case constant
        case variable
        case threadLocal
        /// Merged by the linker with what is equal: strings, where `size` is that of
        /// a character, or numbers of that size.
        case literals(size: Int, areStrings: Bool)
        /// A table that is walked by who loads the object: constructors and such.
        case initialiser
        case unwindTable
        /// Pointers to functions that a patch calls when it is applied (hotpatch.h).
        case callbacks
    }

    let section: Section
    /// Empty where the file holds none (.bss).
    let bytes: ByteView
    /// In the order of their offsets.
    let relocations: [Relocation]
    /// The symbols in it, in the order of their places.
    let labels: [Symbol]
    let kind: Kind

    init(section: Section, bytes: ByteView, relocations: [Relocation], labels: [Symbol]) {
        self.section = section
        self.bytes = bytes
        self.relocations = relocations
        self.labels = labels.sorted {
            ($0.value, $0.binding == .local ? 1 : 0, $0.index)
                < ($1.value, $1.binding == .local ? 1 : 0, $1.index)
        }
        kind = Self.kind(of: section)
    }

    private static let callbackSection = ".hotpatch.on_apply"

    private static func kind(of section: Section) -> Kind {
        let tables = [
            ".init", ".fini", ".init_array", ".fini_array", ".preinit_array", ".ctors", ".dtors",
        ]
        // 14 to 16: SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY.
        if (14...16).contains(section.type.rawValue)
            || tables.contains(where: { section.name == $0 || section.name.hasPrefix($0 + ".") })
        {
            return .initialiser
        }
        if section.name == ".eh_frame" { return .unwindTable }
        if section.name == callbackSection { return .callbacks }
        if section.isExecutable { return .code }
        if section.flags.contains(.threadLocal) { return .threadLocal }
        if section.isWritten { return .variable }
        if section.flags.contains(.mergeable), (1...64).contains(section.entrySize) {
            return .literals(
                size: Int(section.entrySize), areStrings: section.flags.contains(.strings))
        }
        return .constant
    }

    /// The symbol that stands for the whole: at the start, global where one is.
    var symbol: Symbol? {
        labels.first { $0.value.rawValue == 0 }
    }

    /// What people call it.
    var name: String { symbol?.name ?? section.name }

    /// Whether other objects can refer to it.
    var isGlobal: Bool { labels.contains { $0.binding != .local } }

    /// Whether it is a part of a function that stands apart from it.
    var isFragment: Bool {
        guard kind == .code, let symbol else { return false }
        if case .fragment = CloneSuffix.kind(of: symbol.name) { return true }
        return false
    }

    var isVariable: Bool { kind == .variable || kind == .threadLocal }

    var holdsLiterals: Bool { if case .literals = kind { true } else { false } }

    /// Whether the linker joins it to a table that is found by the table's ends: it makes
    /// `__start_NAME` and `__stop_NAME` for sections whose names are identifiers of C
    /// (ld manual, "Orphan Sections").
    var isTableOfLinker: Bool {
        guard kind == .constant || kind == .variable, let first = section.name.utf8.first else {
            return false
        }
        func isLetter(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")) ~= byte | 0x20 || byte == UInt8(ascii: "_")
        }
        return isLetter(first)
            && section.name.utf8.allSatisfy {
                isLetter($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")) ~= $0
            }
    }

    /// Whether it can be told by what it holds only: without a name, or under one
    /// that the compiler numbers and nothing writes to (`__func__.0`, `CSWTCH.3`).
    var isToldByContent: Bool {
        switch kind {
        case .literals: true
        case .constant where !isTableOfLinker:
            symbol.map { $0.binding == .local && StableName.isNumbered($0.name) } ?? true
        default: false
        }
    }

    /// The relocations whose fields begin in `range` of the section.
    func relocations(in range: Range<Int>) -> ArraySlice<Relocation> {
        let low = position(of: range.lowerBound)
        return relocations[low..<max(low, position(of: range.upperBound))]
    }

    /// How many relocations stand before `offset`.
    private func position(of offset: Int) -> Int {
        relocations.partitioningIndex { $0.offset.rawValue < UInt64(clamping: offset) }
    }
}

/// Names without the numbers that a compiler puts behind them to tell apart what
/// the source calls the same: `counter.0`, `parse.constprop.1.isra.0`.
enum StableName {
    static func isNumbered(_ name: String) -> Bool { of(name) != name }

    static func of(_ name: String) -> String {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count > 1, let first = parts.first, !first.isEmpty else { return name }
        let kept = parts.dropFirst().filter { part in
            part.isEmpty || !part.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")) ~= $0 }
        }
        return ([first] + kept).joined(separator: ".")
    }
}
