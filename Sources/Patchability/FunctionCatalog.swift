import Addresses
import ELFImage

/// Why there is no catalog of an object's functions.
public enum CatalogError: Error, Equatable, Sendable, CustomStringConvertible {
    case elf(ELFError)
    /// An object file, whose functions have no addresses yet.
    case relocatable(name: String)
    /// A file of symbols only, whose code is elsewhere.
    case separateDebugFile(name: String)
    case outOfMemory(name: String)
    case decoderUnavailable

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .elf(let error): error.code
        case .relocatable: "catalog.relocatable"
        case .separateDebugFile: "catalog.debug-file"
        case .outOfMemory: "catalog.out-of-memory"
        case .decoderUnavailable: "catalog.decoder"
        }
    }

    public var description: String {
        switch self {
        case .elf(let error):
            return error.description
        case .relocatable(let name):
            return "'\(name)' is an object file that is not linked yet; name the program or "
                + "library that it became a part of"
        case .separateDebugFile(let name):
            return "'\(name)' holds symbols only; name the program or library that it belongs to"
        case .outOfMemory(let name):
            return "not enough memory to judge the functions of '\(name)'"
        case .decoderUnavailable:
            return DecoderUnavailable().description
        }
    }
}

/// Every function of one object, each exactly once, with exactly one verdict.
///
/// 'Patchable' is what the engine goes by: there is no second opinion elsewhere.
/// Functions come from .symtab, .dynsym and the separate debug file, and where no
/// symbol knows of one from the unwind table; PLT stubs from their sections.
public struct FunctionCatalog: Sendable {
    let image: ELFImage
    let code: CodeMap
    let tables: NameTables
    let labels: [Label]
    let rows: [FunctionRow]
    let boundaries: [UInt64]
    /// What leads into the possible sites of a function, by row.
    let evidence: [Int: [Reference]]
    /// The sites of two bytes, by row.
    let shortSites: [Int: ShortSite]
    let resolvers: [LinkAddress]

    /// Judges all functions of `image`.
    ///
    /// - Parameter debugImage: its separate debug file (``DebugFiles``), for names.
    public init(
        _ image: ELFImage, debugImage: ELFImage? = nil
    ) throws(CatalogError) {
        guard image.kind != .relocatable else { throw .relocatable(name: image.name) }
        guard !image.isSeparateDebugFile else { throw .separateDebugFile(name: image.name) }
        let builder: CatalogBuilder
        do throws(ELFError) {
            builder = try CatalogBuilder(image, debugImage)
        } catch {
            throw .elf(error)
        }
        self.image = image
        code = builder.code
        tables = builder.tables
        labels = builder.labels
        boundaries = builder.boundaries
        resolvers = builder.resolvers
        let judgement = try builder.judge()
        rows = judgement.rows
        evidence = judgement.evidence
        shortSites = judgement.shortSites
    }

    /// How many functions have each verdict.
    public var summary: [VerdictCode: Int] {
        var counts: [VerdictCode: Int] = [:]
        for row in rows { counts[row.code, default: 0] += 1 }
        return counts
    }

    /// Whether the file holds executable bytes at all of `range`.
    public func isCode(_ range: AddressRange<LinkAddress>) -> Bool {
        code.region(of: range.start.rawValue).map { range.end.rawValue <= $0.end } ?? false
    }

    /// The function whose entry is at `address`.
    public func function(at address: LinkAddress) -> FunctionRecord? {
        function(containing: address).flatMap { $0.address == address ? $0 : nil }
            ?? rows.lastFunction(upTo: address.rawValue)
            .flatMap { rows[$0].start == address.rawValue ? self[$0] : nil }
    }

    /// The innermost function that holds `address`.
    public func function(containing address: LinkAddress) -> FunctionRecord? {
        rows.function(containing: address.rawValue).map { self[$0] }
    }

    /// Every function that has the name `name`: several where different source
    /// files have local functions of that name.
    public func functions(named name: String) -> [FunctionRecord] {
        var addresses: Set<UInt64> = []
        for (origin, table) in tables.all {
            for index in table.indexes(named: name) {
                guard let entry = table[index], !entry.isUndefined else { continue }
                addresses.insert(entry.value.rawValue)
            }
            if origin == .dynamic, name.hasSuffix("@plt") {
                addresses.formUnion(stubs(for: String(name.dropLast(4))))
            }
        }
        return addresses.sorted().compactMap { address in
            function(at: LinkAddress(rawValue: address)).flatMap { record in
                record.names.contains { $0.text == name } ? record : nil
            }
        }
    }

    /// The clones and parts of the function called `name` (`name.constprop.0`,
    /// `name.cold`): what a detour at the function itself does not replace.
    public func clones(of name: String) -> [FunctionRecord] {
        var addresses: Set<UInt64> = []
        for (_, table) in tables.all {
            for index in table.indexes(withPrefix: name + ".") {
                guard let entry = table[index], !entry.isUndefined else { continue }
                addresses.insert(entry.value.rawValue)
            }
        }
        return addresses.sorted().compactMap { function(at: LinkAddress(rawValue: $0)) }
            .filter { record in
                switch record.kind {
                case .clone(let base), .fragment(let base?): base == name
                default: false
                }
            }
    }

    /// All that leads into a place where a detour of this function could have
    /// been, as reasons against it: of a function that is refused for it, and of
    /// one whose site had to move behind its first nops or has two bytes only.
    public func obstacles(of record: FunctionRecord) -> [Refusal] {
        evidence[record.index, default: []].map(refusal)
    }

    private func stubs(for name: String) -> [UInt64] {
        rows.indices.filter { rows[$0].kind == .pltStub && self[$0].name == name + "@plt" }
            .map { rows[$0].start }
    }
}

extension FunctionCatalog: RandomAccessCollection {
    public var startIndex: Int { 0 }
    public var endIndex: Int { rows.count }

    /// The function number `index`, in the order of addresses.
    public subscript(index: Int) -> FunctionRecord {
        let row = rows[index]
        let names = names(of: row)
        let end = LinkAddress(rawValue: row.end)
        let start = LinkAddress(rawValue: row.start)
        return FunctionRecord(
            index: index,
            range: AddressRange(start: start, end: end) ?? AddressRange(emptyAt: start),
            sizeIsKnown: row.sizeIsKnown, names: names, kind: kind(of: row, names),
            verdict: verdict(of: index))
    }
}
