import HotpatchKit
import JSONText

/// How many functions have each verdict, and what share of them can be replaced.
struct FunctionSummary {
    let counts: [VerdictCode: Int]
    let share: ReplaceableShare
    let object: ExaminedObject

    private var total: Int { counts.values.reduce(0, +) }

    /// The verdicts that occur, the most frequent first.
    private var lines: [(code: VerdictCode, count: Int)] {
        VerdictCode.allCases.compactMap { code in counts[code].map { (code, $0) } }
            .sorted { $0.count > $1.count }
    }

    func print(_ format: OutputFormat) throws(Failure) {
        if format == .json {
            return try StandardOutput.write(
                json: object.members + [
                    JSONMember("functions", .integer(Int64(total))),
                    JSONMember(
                        "verdicts",
                        .object(
                            lines.map { JSONMember($0.code.rawValue, .integer(Int64($0.count))) })),
                    JSONMember("share", share.json),
                ], command: "list-symbols")
        }
        var table = Table([
            .init(title: "functions", alignment: .right), .init(title: "verdict"),
        ])
        for line in lines { table.add(["\(line.count)", line.code.rawValue]) }
        if format == .table { table.add(["\(total)", "in all"]) }
        let sentence = format == .table ? share.sentence.map { "\n\($0)\n" } ?? "" : ""
        try StandardOutput.write(
            table.text(format: format, width: StandardOutput.width) + sentence)
    }
}

extension ReplaceableShare {
    fileprivate var json: JSONValue {
        [
            "functions": .integer(Int64(functions)),
            "replaceable": .integer(Int64(replaceable)),
            "callable": .integer(Int64(callable)),
        ]
    }

    /// nil where there is nothing to have a share of.
    fileprivate var sentence: String? {
        guard functions > 0 else { return nil }
        return "\(percentage(replaceable)) % of the \(functions) functions can be replaced, "
            + "\(percentage(callable)) % also called by what replaces them. Fragments and PLT "
            + "stubs are not counted."
    }

    /// With one decimal, rounded down, so that 100.0 means all.
    private func percentage(_ count: Int) -> String {
        let tenths = count * 1000 / functions
        return "\(tenths / 10).\(tenths % 10)"
    }
}

/// Functions, one a line.
struct FunctionList {
    private let records: [FunctionRecord]
    /// Of each record, whether its replacement can call it.
    private let originals: [OriginalCall]
    private let object: ExaminedObject

    init(
        _ records: [FunctionRecord], of catalog: FunctionCatalog, in object: ExaminedObject
    ) throws(CatalogError) {
        self.records = records
        self.object = object
        let calls = try OriginalCalls(catalog)
        var originals: [OriginalCall] = []
        for record in records { originals.append(calls.verdict(of: record)) }
        self.originals = originals
    }

    func print(_ format: OutputFormat) throws(Failure) {
        switch format {
        case .json:
            try StandardOutput.write(
                json: object.members + [
                    JSONMember(
                        "functions",
                        .array(
                            zip(records, originals).map { $0.json(in: object, original: $1) }))
                ], command: "list-symbols")
        case .table where records.isEmpty:
            StandardError.write("hotpatch: no such function in '\(object.image.name)'\n")
        default:
            try StandardOutput.write(
                table().text(format: format, width: StandardOutput.width))
        }
    }

    private func table() -> Table {
        var table = Table([
            .init(title: "address", alignment: .right), .init(title: "size", alignment: .right),
            .init(title: "kind"), .init(title: "verdict"),
            .init(title: "name", shrinking: .init(rank: 2, least: 10)),
            .init(title: "detail", shrinking: .init(rank: 1, least: 8)),
        ])
        for (record, original) in zip(records, originals) {
            let aliases = record.names.dropFirst().map(\.text).joined(separator: ", ")
            table.add([
                object.shownAddress(record.address), "\(record.range.count)", record.kind.code,
                record.verdict.code.rawValue, record.displayName,
                record.verdict.detail + original.detail
                    + (aliases.isEmpty ? "" : "; also \(aliases)"),
            ])
        }
        return table
    }
}

extension Verdict {
    /// Where the detour goes, or why there is none.
    var detail: String {
        switch self {
        case .patchable(let site):
            var parts = [site.offset == 0 ? "at the entry" : "at entry+\(site.offset)"]
            if site.followsEndbr64 { parts.append("behind endbr64") }
            if site.offset > (site.followsEndbr64 ? 4 : 0) { parts.append("behind nops") }
            if let island = site.island {
                parts.append("\(site.size) bytes, by way of \(island)")
            }
            if site.paddingBytes > 0 { parts.append("\(site.paddingBytes) bytes of padding") }
            return parts.joined(separator: ", ")
        case .unpatchable(let refusal):
            return refusal.description
        }
    }
}

extension OriginalCall {
    /// What is to be said of a function that can be replaced.
    fileprivate var detail: String {
        switch self {
        case .callable, .refused(.unpatchable): ""
        case .refused(let refusal): "; cannot be called when replaced: \(refusal)"
        }
    }
}

extension ExaminedObject {
    /// What every document about an object starts with.
    var members: [JSONMember] {
        [
            JSONMember("object", .string(image.name)),
            JSONMember("buildId", image.buildID.map { .string("\($0)") } ?? .null),
            JSONMember("objectKind", .string(image.kind.rawValue)),
            JSONMember(
                "debugFile", debugFiles.found.map { .string($0.name) } ?? .null),
            JSONMember(
                "pid", mapping.map { .integer(Int64($0.process.id.rawValue)) } ?? .null),
        ]
    }

    /// In a process the address there, else the link address.
    func shownAddress(_ address: LinkAddress) -> String {
        mapping.map { "\($0.address(address))" } ?? "\(address)"
    }
}

extension FunctionRecord {
    func json(in object: ExaminedObject, original: OriginalCall) -> JSONValue {
        .object([
            JSONMember("address", .string("\(address)")),
            JSONMember(
                "addressInProcess",
                object.mapping.map { .string("\($0.address(address))") } ?? .null),
            JSONMember("size", .integer(Int64(clamping: range.count))),
            JSONMember("sizeIsKnown", .bool(sizeIsKnown)),
            JSONMember("kind", .string(kind.code)),
            JSONMember("of", kind.origin.map { .string($0) } ?? .null),
            JSONMember("names", .array(names.map(\.json))),
            JSONMember("verdict", .string(verdict.code.rawValue)),
            JSONMember("site", verdict.site.map(\.json) ?? .null),
            JSONMember(
                "reason", verdict.refusal.map { .string($0.description) } ?? .null),
            JSONMember("callable", .bool(original == .callable)),
            JSONMember(
                "reasonAgainstCalling",
                original.refusal.map {
                    ["code": .string($0.code), "reason": .string($0.description)]
                } ?? .null),
        ])
    }
}

extension FunctionKind {
    /// The function that this one is a copy or a part of.
    var origin: String? {
        switch self {
        case .clone(let name): name
        case .fragment(let name): name
        case .ordinary, .ifuncResolver, .pltStub, .unnamed: nil
        }
    }
}

extension FunctionName {
    fileprivate var json: JSONValue {
        [
            "name": .string(text),
            "source": .string(source.rawValue),
            "binding": .string(binding.word),
            "version": version.map { .string("\($0)") } ?? .null,
            "file": sourceFile.map { .string($0) } ?? .null,
        ]
    }
}

extension SymbolBinding {
    var word: String {
        switch self {
        case .local: "local"
        case .global: "global"
        case .weak: "weak"
        case .unique: "unique"
        default: "\(rawValue)"
        }
    }
}

extension Site {
    var json: JSONValue {
        [
            "address": .string("\(address)"),
            "offset": .integer(Int64(offset)),
            "size": .integer(Int64(clamping: size)),
            "island": island.map { .string("\($0)") } ?? .null,
            "behindEndbr64": .bool(followsEndbr64),
            "paddingBytes": .integer(Int64(paddingBytes)),
        ]
    }
}
