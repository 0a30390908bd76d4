import Addresses
import CELF
import Glibc

/// Which of an object's two symbol tables.
public enum SymbolTableKind: String, Sendable {
    /// .symtab, which `strip` removes.
    case full
    /// .dynsym, which the loader uses.
    case dynamic
}

/// A symbol table. Entries and names are decoded when they are asked for, so
/// that a table of a million symbols costs its bytes and no more.
public final class SymbolTable: Sendable {
    public let kind: SymbolTableKind
    public let section: Section
    /// The entries, the empty symbol 0 included.
    public let count: Int
    /// The raw entries of 24 bytes (`Elf64_Sym`), for hot loops.
    public let entries: ByteView
    /// The string table that names refer to.
    public let strings: ByteView
    /// SHT_SYMTAB_SHNDX: the section indexes that do not fit into 16 bits.
    let extendedSections: ByteView?
    let versions: SymbolVersions?
    /// The entries of type STT_FILE, in order.
    private let fileEntries: [Int]
    private let imageName: String

    /// Bytes of an entry (`Elf64_Sym`).
    public static let entrySize = 24

    init(reading image: ELFImage, _ section: Section, _ kind: SymbolTableKind) throws(ELFError) {
        self.kind = kind
        self.section = section
        imageName = image.name
        entries = try image.bytes(of: section)
        guard section.entrySize == UInt64(Self.entrySize), entries.count % Self.entrySize == 0
        else {
            throw .malformed(
                name: image.name, part: "section \(section.name)",
                rule: "the entries are not of 24 bytes", value: section.entrySize)
        }
        count = entries.count / Self.entrySize
        guard let stringSection = image.linkedSection(of: section) else {
            throw .malformed(
                name: image.name, part: "section \(section.name)",
                rule: "sh_link is not a section", value: UInt64(section.link))
        }
        strings = try image.bytes(of: stringSection)
        if let extended = image.sections.first(where: {
            $0.type == .extendedIndexes && Int($0.link) == section.index
        }) {
            extendedSections = try image.bytes(of: extended)
        } else {
            extendedSections = nil
        }
        versions = kind == .dynamic ? try SymbolVersions(reading: image) : nil
        fileEntries = Self.fileEntries(entries, count)
    }

    private static func fileEntries(_ entries: ByteView, _ count: Int) -> [Int] {
        unsafe entries.withUnsafeBytes { bytes in
            (0..<count).filter { unsafe bytes[$0 * entrySize + 4] & 0xf == UInt8(STT_FILE) }
        }
    }

    /// The raw entry number `index`, or nil outside the table.
    public subscript(index: Int) -> SymbolEntry? {
        guard index >= 0, index < count else { return nil }
        return unsafe entries.withUnsafeBytes { bytes in
            unsafe SymbolEntry(bytes, at: index * Self.entrySize)
        }
    }

    /// The name of the entry number `index`; nil outside the table or where it
    /// lies outside the string table.
    public func name(_ index: Int) -> String? {
        self[index].flatMap { strings.cString(at: Int($0.nameOffset)) }
    }

    /// The version of the entry number `index`, where it has one.
    public func version(_ index: Int) -> SymbolVersion? { versions?[index] }

    /// The source file of a local symbol: the file symbol before it.
    public func sourceFile(_ index: Int) -> String? {
        guard let entry = self[index], entry.binding == .local else { return nil }
        // The number of file symbols that stand before it.
        let before = fileEntries.partitioningIndex { $0 < index }
        guard before > 0, let name = name(fileEntries[before - 1]), !name.isEmpty else {
            return nil
        }
        return name
    }

    /// The section that the entry number `index` is defined in.
    public func sectionReference(_ index: Int) -> SectionReference {
        guard let entry = self[index] else { return .undefined }
        switch Int32(entry.rawSection) {
        case SHN_UNDEF: return .undefined
        case SHN_ABS: return .absolute
        case SHN_COMMON: return .common
        case SHN_XINDEX:
            let extended = extendedSections?.load(index * 4, as: UInt32.self)
            return extended.map { .section(Int($0)) } ?? .reserved(entry.rawSection)
        case SHN_LORESERVE...: return .reserved(entry.rawSection)
        default: return .section(Int(entry.rawSection))
        }
    }

    /// The symbol number `index` with all that belongs to it.
    public func symbol(_ index: Int) throws(ELFError) -> Symbol {
        guard let entry = self[index] else {
            throw .malformed(
                name: imageName, part: "section \(section.name)",
                rule: "there is no symbol of that index", value: UInt64(clamping: index))
        }
        guard let name = strings.cString(at: Int(entry.nameOffset)) else {
            throw .malformed(
                name: imageName, part: "section \(section.name)",
                rule: "a symbol's name lies outside the string table",
                value: UInt64(entry.nameOffset))
        }
        return Symbol(
            index: index, name: name, value: entry.value, size: entry.size, type: entry.type,
            binding: entry.binding, visibility: entry.visibility,
            section: sectionReference(index), version: version(index),
            sourceFile: sourceFile(index))
    }

    /// The indexes of the entries called `name`.
    public func indexes(named name: String) -> [Int] {
        // With the zero byte behind it.
        indexes(whereNameStartsWith: Array(name.utf8) + [0])
    }

    /// The indexes of the entries whose name starts with `prefix`.
    public func indexes(withPrefix prefix: String) -> [Int] {
        indexes(whereNameStartsWith: Array(prefix.utf8))
    }

    /// Compares bytes, so that no string is made for the many that differ.
    private func indexes(whereNameStartsWith wanted: [UInt8]) -> [Int] {
        return unsafe entries.withUnsafeBytes { entries in
            unsafe strings.withUnsafeBytes { strings in
                (0..<count).filter { index in
                    let offset = unsafe Int(
                        entries.loadUnaligned(
                            fromByteOffset: index * Self.entrySize, as: UInt32.self))
                    guard offset <= strings.count, wanted.count <= strings.count - offset else {
                        return false
                    }
                    return unsafe strings[offset..<offset + wanted.count].elementsEqual(wanted)
                }
            }
        }
    }
}

extension SymbolEntry {
    /// Decodes the 24 bytes at `offset`, which have to lie in `bytes`.
    @unsafe
    public init(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        let raw = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: Elf64_Sym.self)
        self.init(
            nameOffset: raw.st_name, info: raw.st_info, other: raw.st_other,
            rawSection: raw.st_shndx, value: LinkAddress(rawValue: raw.st_value),
            size: raw.st_size)
    }
}

extension ELFImage {
    /// The section that `sh_link` names.
    func linkedSection(of section: Section) -> Section? {
        let link = Int(section.link)
        return sections.indices.contains(link) ? sections[link] : nil
    }

    /// The symbol table of that kind; nil where the object has none.
    public func symbolTable(_ kind: SymbolTableKind) throws(ELFError) -> SymbolTable? {
        let type: SectionType = kind == .full ? .symbolTable : .dynamicSymbols
        guard let section = sections.first(where: { $0.type == type }) else { return nil }
        return try SymbolTable(reading: self, section, kind)
    }

    /// The symbol table that a relocation section refers to.
    public func symbolTable(for relocations: Section) throws(ELFError) -> SymbolTable? {
        guard let section = linkedSection(of: relocations) else { return nil }
        switch section.type {
        case .symbolTable: return try SymbolTable(reading: self, section, .full)
        case .dynamicSymbols: return try SymbolTable(reading: self, section, .dynamic)
        default: return nil
        }
    }
}
