import Addresses
import ELFImage
import Patchability
import SystemPackage

/// A relocatable object as a compiler made it: its sections that are loaded, each
/// with its relocations and the symbols in it. Whatever it says is checked first.
public struct CompiledObject: Sendable {
    /// Where its file is.
    public let path: FilePath
    /// What it is called in messages.
    let name: String
    /// The source that the compiler named (STT_FILE), where it did.
    public let sourceFile: String?
    let symbols: [Symbol]
    /// The loaded sections that have bytes, by their index.
    let atoms: [Int: Atom]
    private let usersBySection: [Int: Set<String>]
    private let functions: [String: Int]

    /// The bytes that the names of all symbols may take together.
    private static let nameLimit = 64 << 20

    /// Opens the object file at `path`.
    ///
    /// - Parameter name: what it is called in messages; nil for its path.
    public init(path: FilePath, name: String? = nil) throws(ChangeError) {
        do throws(ELFError) {
            try self.init(
                try ELFImage.open(path: path), path: path, name: name ?? path.string)
        } catch {
            throw ChangeError.elf(error)
        }
    }

    /// The bytes of an object that has nothing: what a new source was before.
    public static var nothing: [UInt8] { ObjectWriter().object(weak: []) }

    /// Reads an object that lies in memory.
    init(bytes: [UInt8], path: FilePath) throws(ChangeError) {
        do throws(ELFError) {
            try self.init(
                try ELFImage.parse(bytes: bytes, name: path.string), path: path,
                name: path.string)
        } catch {
            throw ChangeError.elf(error)
        }
    }

    private init(_ image: ELFImage, path: FilePath, name: String) throws(ELFError) {
        self.path = path
        self.name = name
        guard image.kind == .relocatable else {
            throw .foreign(
                name: image.name, field: "type", found: 0,
                wanted: "an object file as the compiler makes it (gcc -c)")
        }
        if image.sections.contains(where: { $0.name.hasPrefix(".gnu.lto_") }) {
            throw .foreign(
                name: image.name, field: "code", found: 0,
                wanted: "machine code, which -flto leaves to the linker; compile with -fno-lto")
        }
        symbols = try Self.symbols(of: image)
        sourceFile = symbols.first { $0.type == .file && !$0.name.isEmpty }?.name
        atoms = try Self.atoms(of: image, symbols)
        usersBySection = Self.users(atoms, symbols)
        functions = Dictionary(
            atoms.filter { $0.value.kind == .code }.sorted { $0.key < $1.key }
                .flatMap { section, atom in atom.labels.map { ($0.name, section) } },
            uniquingKeysWith: { first, _ in first })
    }

    private static func symbols(of image: ELFImage) throws(ELFError) -> [Symbol] {
        guard let table = try image.symbolTable(.full) else { return [] }
        var symbols: [Symbol] = []
        symbols.reserveCapacity(table.count)
        var rest = nameLimit
        for index in 0..<table.count {
            let symbol = try table.symbol(index)
            // A million symbols may all point into one long name.
            rest -= symbol.name.utf8.count
            guard rest >= 0 else {
                throw .malformed(
                    name: image.name, part: "the symbol table",
                    rule: "the names take more bytes than any compiler's",
                    value: UInt64(nameLimit))
            }
            symbols.append(symbol)
        }
        return symbols
    }

    private static func atoms(
        of image: ELFImage, _ symbols: [Symbol]
    ) throws(ELFError) -> [Int: Atom] {
        try checkSizes(of: image)
        var relocations: [Int: [Relocation]] = [:]
        for section in image.sections {
            let home = Int(section.info)
            let isRelocations =
                section.type == .relocationsWithAddends || section.type == .relocations
            guard isRelocations, image.sections.indices.contains(home),
                image.sections[home].flags.contains(.allocated)
            else { continue }
            relocations[home, default: []] += try image.relocations(in: section)
        }
        var labels: [Int: [Int]] = [:]
        for symbol in symbols {
            if case .section(let home) = symbol.section, symbol.isLabel {
                labels[home, default: []].append(symbol.index)
            }
        }
        var atoms: [Int: Atom] = [:]
        for section in image.sections
        where section.flags.contains(.allocated) && section.size > 0 && section.type != .note {
            let found = (relocations[section.index] ?? []).sorted { $0.offset < $1.offset }
            try check(found, in: section, of: image, symbols)
            atoms[section.index] = Atom(
                section: section, bytes: try image.bytes(of: section), relocations: found,
                labels: (labels[section.index] ?? []).map { symbols[$0] })
        }
        return atoms
    }

    /// What sections claim together is no more than the file has, as long as no two
    /// have the same bytes: reading them is bounded by that.
    private static func checkSizes(of image: ELFImage) throws(ELFError) {
        var rest = image.fileSize
        for section in image.sections where section.type != .noBits {
            guard section.size <= rest else {
                throw .malformed(
                    name: image.name, part: "section \(section.name)",
                    rule: "the sections have more bytes than the file", value: section.size)
            }
            rest -= section.size
        }
    }

    /// Every relocation is of a known type, lies in its section, behind the one
    /// before it, and names a symbol.
    private static func check(
        _ relocations: [Relocation], in section: Section, of image: ELFImage, _ symbols: [Symbol]
    ) throws(ELFError) {
        func refuse(_ rule: String, _ value: UInt64) -> ELFError {
            .malformed(
                name: image.name, part: "the relocations of section \(section.name)", rule: rule,
                value: value)
        }
        var end: UInt64 = 0
        for relocation in relocations {
            guard let kind = RelocationKind(rawValue: relocation.type.rawValue) else {
                throw refuse("one is of an unknown type", UInt64(relocation.type.rawValue))
            }
            let offset = relocation.offset.rawValue
            guard offset <= section.size, UInt64(kind.width) <= section.size - offset,
                section.type != .noBits
            else { throw refuse("one lies outside the section", offset) }
            guard offset >= end || kind.width == 0 else {
                throw refuse("two overlap", offset)
            }
            end = max(end, offset + UInt64(kind.width))
            guard symbols.indices.contains(Int(relocation.symbolIndex)) else {
                throw refuse("one names no symbol", UInt64(relocation.symbolIndex))
            }
        }
    }

    /// The symbol that a relocation names.
    func symbol(of relocation: Relocation) -> Symbol { symbols[Int(relocation.symbolIndex)] }

    /// What people call that which a relocation leads to.
    func targetName(of relocation: Relocation) -> String {
        switch target(of: relocation) {
        case .atom(let index, _), .literal(let index, _, _):
            atoms[index]?.name ?? "section \(index)"
        case .name(let name, _, _): name
        case .absolute(let value): "0x" + String(value, radix: 16)
        }
    }

    /// What a relocation leads to; `lead` is the distance from its field to the
    /// address that the processor counts from.
    func target(of relocation: Relocation, lead: Int64 = 0) -> Target {
        let symbol = symbol(of: relocation)
        let distance = relocation.addend &+ lead
        switch symbol.section {
        case .section(let index) where atoms[index]?.holdsLiterals == true:
            // Literals are merged one by one: what a label stands for is the one at
            // its place, wherever the reference goes from there.
            let value = Int64(bitPattern: symbol.value.rawValue)
            return symbol.type == .section
                ? .literal(index, anchor: value &+ distance, distance: 0)
                : .literal(index, anchor: value, distance: distance)
        case .section(let index) where atoms[index] != nil:
            let offset = Int64(bitPattern: symbol.value.rawValue) &+ distance
            return .atom(index, offset: offset)
        case .absolute:
            return .absolute(symbol.value.rawValue &+ UInt64(bitPattern: distance))
        default:
            return .name(symbol.name, offset: distance, isWeak: symbol.binding == .weak)
        }
    }
}

/// What a relocation refers to.
enum Target: Hashable {
    /// A place in a section of the object.
    case atom(Int, offset: Int64)
    /// A literal, by where it starts in its section, and a distance from there.
    case literal(Int, anchor: Int64, distance: Int64)
    /// What another object defines, or nobody yet (a common symbol).
    case name(String, offset: Int64, isWeak: Bool)
    case absolute(UInt64)
}

extension Symbol {
    /// Whether it says what stands at its place: labels of the compiler's own
    /// (`.LC0`) and sections do not.
    fileprivate var isLabel: Bool {
        type != .section && type != .file && !name.isEmpty && !name.hasPrefix(".L")
    }
}

extension CompiledObject {
    /// The section of the function called `name`.
    func function(named name: String) -> Int? { functions[name] }

    /// The stable names of the functions that refer to a section.
    func users(of section: Int) -> Set<String> { usersBySection[section] ?? [] }

    static func users(_ atoms: [Int: Atom], _ symbols: [Symbol]) -> [Int: Set<String>] {
        var users: [Int: Set<String>] = [:]
        for atom in atoms.values where atom.kind == .code {
            let name = StableName.of(atom.name)
            for relocation in atom.relocations {
                if case .section(let home) = symbols[Int(relocation.symbolIndex)].section {
                    users[home, default: []].insert(name)
                }
            }
        }
        return users
    }
}
