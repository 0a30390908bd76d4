import Addresses
import ELFImage

/// A section of the object that is written.
struct OutputSection {
    var name: String
    var type: SectionType
    var flags: SectionFlags
    var alignment: UInt64
    /// Bytes in memory.
    var size: UInt64
    /// Empty for a section without bytes in the file.
    var bytes: [UInt8]
    var relocations: [OutputRelocation] = []
}

/// What a relocation of the output refers to.
enum OutputTarget: Hashable {
    /// The start of an output section.
    case section(Int)
    /// A symbol that the output leaves undefined.
    case undefined(String)
}

struct OutputRelocation {
    let offset: UInt64
    let type: UInt32
    let target: OutputTarget
    let addend: Int64
}

/// A symbol that the output defines.
struct OutputSymbol {
    let name: String
    let section: Int
    let size: UInt64
    let type: SymbolType
}

/// Puts a relocatable object together (gABI, chapters 4 and 5).
struct ObjectWriter {
    private(set) var sections: [OutputSection] = []
    var symbols: [OutputSymbol] = []

    mutating func add(_ section: OutputSection) -> Int {
        sections.append(section)
        return sections.count - 1
    }

    mutating func add(_ relocation: OutputRelocation, to section: Int) {
        sections[section].relocations.append(relocation)
    }

    /// Puts bytes behind those of a section, and returns where they stand.
    mutating func append(_ bytes: [UInt8], aligned alignment: UInt64, to section: Int) -> UInt64 {
        let count = UInt64(sections[section].bytes.count)
        let start = (count + alignment - 1) / alignment * alignment
        sections[section].bytes += Array(repeating: 0, count: Int(start - count)) + bytes
        sections[section].size = UInt64(sections[section].bytes.count)
        sections[section].alignment = max(sections[section].alignment, alignment)
        return start
    }

    mutating func overwrite(_ bytes: [UInt8], at offset: Int, in section: Int) {
        let end = offset + bytes.count
        guard offset >= 0, end <= sections[section].bytes.count else { return }
        sections[section].bytes.replaceSubrange(offset..<end, with: bytes)
    }

    /// The object's bytes. `weak` are those of the undefined names that may stay so.
    func object(weak: Set<String>) -> [UInt8] {
        var undefined: [String] = []
        var seen: Set<String> = []
        for relocation in sections.flatMap(\.relocations) {
            if case .undefined(let name) = relocation.target, seen.insert(name).inserted {
                undefined.append(name)
            }
        }
        var image = ImageBuilder()
        for section in sections { image.add(section) }
        let table = SymbolTableBuilder(sections.count, symbols, undefined, weak: weak)
        image.addTables(of: sections, table)
        return image.finish()
    }

    /// The bytes of an object that has symbols only, at addresses of a linked one.
    static func symbolFile(_ symbols: [FoundSymbol]) -> [UInt8] {
        var image = ImageBuilder()
        image.addTables(of: [], SymbolTableBuilder(symbols))
        return image.finish()
    }
}

/// Entries of 24 bytes (`Elf64_Sym`): first the empty one, then one for each section,
/// the defined symbols, all local, and the undefined ones.
private struct SymbolTableBuilder {
    private(set) var entries: [UInt8] = Array(repeating: 0, count: 24)
    private(set) var names: [UInt8] = [0]
    private(set) var localCount = 1
    private var undefinedIndexes: [String: Int] = [:]

    init(_ sections: Int, _ symbols: [OutputSymbol], _ undefined: [String], weak: Set<String>) {
        localCount = 1 + sections + symbols.count
        for section in 0..<sections {
            // STB_LOCAL, STT_SECTION.
            add("", info: 3, section: section + 1, size: 0)
        }
        for symbol in symbols {
            add(
                symbol.name, info: symbol.type.rawValue & 0xf, section: symbol.section + 1,
                size: symbol.size)
        }
        for (index, name) in undefined.enumerated() {
            undefinedIndexes[name] = localCount + index
            // STB_WEAK or STB_GLOBAL, STT_NOTYPE.
            add(name, info: (weak.contains(name) ? 2 : 1) << 4, section: 0, size: 0)
        }
    }

    /// Functions at their addresses: first the local ones, each behind its source file.
    init(_ symbols: [FoundSymbol]) {
        // SHN_ABS.
        let absolute = 0xfff1
        let local = symbols.filter(\.isLocal)
            .sorted { ($0.sourceFile ?? "", $0.address) < ($1.sourceFile ?? "", $1.address) }
        var file: String?
        for symbol in local {
            if symbol.sourceFile != file {
                // STB_LOCAL, STT_FILE.
                file = symbol.sourceFile
                add(file ?? "", info: 4, section: absolute, size: 0)
                localCount += 1
            }
            // STB_LOCAL, STT_FUNC.
            add(symbol.name, info: 2, section: absolute, size: symbol.size, symbol.address.rawValue)
            localCount += 1
        }
        for symbol in symbols where !symbol.isLocal {
            // STB_GLOBAL, STT_FUNC.
            add(
                symbol.name, info: 0x12, section: absolute, size: symbol.size,
                symbol.address.rawValue)
        }
    }

    private mutating func add(
        _ name: String, info: UInt8, section: Int, size: UInt64, _ value: UInt64 = 0
    ) {
        let start = name.isEmpty ? 0 : names.count
        if !name.isEmpty { names += Array(name.utf8) + [0] }
        entries += littleEndian(UInt32(start)) + [info, 0]
        entries += littleEndian(UInt16(truncatingIfNeeded: section))
        entries += littleEndian(value) + littleEndian(size)
    }

    func index(of target: OutputTarget) -> Int {
        switch target {
        case .section(let section): section + 1
        case .undefined(let name): undefinedIndexes[name] ?? 0
        }
    }
}

/// The file: the header, the sections' bytes, and the section headers behind them.
private struct ImageBuilder {
    private var bytes: [UInt8] = Array(repeating: 0, count: 64)
    private var headers: [[UInt8]] = [Array(repeating: 0, count: 64)]
    private var names: [UInt8] = [0]

    mutating func add(_ section: OutputSection) {
        add(
            section.name, type: section.type.rawValue, flags: section.flags.rawValue,
            section.type == .noBits ? [] : section.bytes, size: section.size,
            alignment: section.alignment)
    }

    mutating func addTables(of sections: [OutputSection], _ table: SymbolTableBuilder) {
        let relocated = sections.indices.filter { !sections[$0].relocations.isEmpty }
        let symbols = 1 + sections.count + relocated.count
        for index in relocated {
            var entries: [UInt8] = []
            for relocation in sections[index].relocations {
                let symbol = UInt64(table.index(of: relocation.target))
                entries += littleEndian(relocation.offset)
                entries += littleEndian(symbol << 32 | UInt64(relocation.type))
                entries += littleEndian(UInt64(bitPattern: relocation.addend))
            }
            // SHF_INFO_LINK.
            add(
                ".rela" + sections[index].name,
                type: SectionType.relocationsWithAddends.rawValue, flags: 0x40, entries,
                size: UInt64(entries.count), alignment: 8, link: symbols, info: index + 1,
                entrySize: 24)
        }
        add(
            ".symtab", type: SectionType.symbolTable.rawValue, flags: 0, table.entries,
            size: UInt64(table.entries.count), alignment: 8, link: symbols + 1,
            info: table.localCount, entrySize: 24)
        add(
            ".strtab", type: SectionType.stringTable.rawValue, flags: 0, table.names,
            size: UInt64(table.names.count), alignment: 1)
    }

    private mutating func add(
        _ name: String, type: UInt32, flags: UInt64, _ content: [UInt8], size: UInt64,
        alignment: UInt64, link: Int = 0, info: Int = 0, entrySize: UInt64 = 0
    ) {
        let wanted = Int(clamping: min(max(alignment, 1), 4096))
        bytes += Array(repeating: 0, count: (wanted - bytes.count % wanted) % wanted)
        let start = names.count
        names += Array(name.utf8) + [0]
        var header = littleEndian(UInt32(start)) + littleEndian(type) + littleEndian(flags)
        header += littleEndian(UInt64(0)) + littleEndian(UInt64(bytes.count))
        header += littleEndian(size) + littleEndian(UInt32(truncatingIfNeeded: link))
        header += littleEndian(UInt32(truncatingIfNeeded: info)) + littleEndian(alignment)
        header += littleEndian(entrySize)
        headers.append(header)
        bytes += content
    }

    /// ELF64, least significant byte first, ET_REL, x86-64.
    consuming func finish() -> [UInt8] {
        let nameSection = headers.count
        // The section of the names holds its own name too.
        let name = ".shstrtab"
        let size = UInt64(names.count + name.utf8.count + 1)
        let start = names.count
        names += Array(name.utf8) + [0]
        let content = names
        var header = littleEndian(UInt32(start))
        header += littleEndian(SectionType.stringTable.rawValue) + littleEndian(UInt64(0))
        header += littleEndian(UInt64(0)) + littleEndian(UInt64(bytes.count))
        header += littleEndian(size) + littleEndian(UInt64(0)) + littleEndian(UInt64(1))
        header += littleEndian(UInt64(0))
        headers.append(header)
        bytes += content
        bytes += Array(repeating: 0, count: (8 - bytes.count % 8) % 8)
        let table = bytes.count
        for header in headers { bytes += header }
        var head: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + Array(repeating: 0, count: 9)
        head += littleEndian(UInt16(1)) + littleEndian(UInt16(62)) + littleEndian(UInt32(1))
        head += littleEndian(UInt64(0)) + littleEndian(UInt64(0)) + littleEndian(UInt64(table))
        head += littleEndian(UInt32(0)) + littleEndian(UInt16(64)) + littleEndian(UInt32(0))
        head += littleEndian(UInt16(64))
        head += littleEndian(UInt16(truncatingIfNeeded: headers.count))
        head += littleEndian(UInt16(truncatingIfNeeded: nameSection))
        bytes.replaceSubrange(0..<64, with: head)
        return bytes
    }
}

/// The bytes of a number, least significant first.
func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
}
