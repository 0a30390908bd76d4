import HotpatchKit
import JSONText

/// All that is told about one function.
struct FunctionView {
    /// An instruction as it stands in the file, or in the process.
    private struct Line {
        /// In the space that it was decoded in.
        let address: String
        let bytes: [UInt8]
        let text: String
        /// Whether a detour overwrites some of it.
        let isInSite: Bool
    }

    private let record: FunctionRecord
    private let object: ExaminedObject
    private let original: OriginalCall
    private let lines: [Line]
    private let clones: [FunctionRecord]
    private let obstacles: [Refusal]
    /// The first bytes in the process, where they can be read.
    private let bytesNow: [UInt8]?
    private let linesNow: [Line]

    /// Enough to see where the function goes.
    private static let shownBytes: UInt64 = 48

    init(
        _ record: FunctionRecord, _ catalog: FunctionCatalog, _ object: ExaminedObject,
        _ originals: borrowing OriginalCalls, _ decoder: borrowing Decoder
    ) throws {
        self.record = record
        original = originals.verdict(of: record)
        self.object = object
        clones = record.name.map { catalog.clones(of: $0) } ?? []
        obstacles = catalog.obstacles(of: record)
        let site = record.verdict.site?.range
        let end = max(record.range.end, site?.end ?? record.range.end)
        let shown =
            AddressRange(
                start: record.address,
                count: min(Self.shownBytes, end.rawValue - record.address.rawValue))
            ?? record.range
        guard catalog.isCode(shown) else {
            lines = []
            linesNow = []
            bytesNow = nil
            return
        }
        lines = Self.lines(of: try object.image.bytes(at: shown), shown, site, decoder)
        guard let mapping = object.mapping, let place = mapping.object.bias.remote(shown) else {
            bytesNow = nil
            linesNow = []
            return
        }
        let bytes = try mapping.bytes(at: shown)
        bytesNow = bytes
        linesNow = Self.lines(
            of: ByteView(bytes), place, site.flatMap { mapping.object.bias.remote($0) }, decoder)
    }

    private static func lines<Space>(
        of bytes: ByteView, _ shown: AddressRange<Space>, _ site: AddressRange<Space>?,
        _ decoder: borrowing Decoder
    ) -> [Line] {
        var lines: [Line] = []
        var offset = 0
        while offset < bytes.count, let address = shown.start.advanced(by: UInt64(offset)) {
            let shape = InstructionShape(bytes, at: offset)
            // What is cut off at the end of the view is not shown.
            if shape == nil, bytes.count - offset < 15, shown.count >= shownBytes { break }
            let length = shape?.length ?? 1
            guard let slice = bytes.slice(offset, length),
                let range = AddressRange(start: address, count: UInt64(length))
            else { break }
            lines.append(
                Line(
                    address: address.description, bytes: slice.array(),
                    text: decoder.text(slice, address: address),
                    isInSite: site?.overlaps(range) ?? false))
            offset += length
        }
        return lines
    }

    private var differsInProcess: Bool {
        bytesNow.map { $0 != lines.flatMap(\.bytes) && !$0.starts(with: lines.flatMap(\.bytes)) }
            ?? false
    }
}

// MARK: - For people

extension FunctionView {
    var text: String {
        ([heading] + facts.map { "  \($0.0)  \($0.1)" }).joined(separator: "\n") + "\n\n"
            + listing(lines) + processText
    }

    private var heading: String {
        "\(record.displayName) at \(record.address), \(record.range.count) bytes, \(record.kind.code)"
            + (record.kind.origin.map { " of \($0)" } ?? "")
    }

    private var facts: [(String, String)] {
        var facts: [(String, String)] = []
        facts.append(("object     ", object.image.name))
        if let mapping = object.mapping {
            facts.append(("in process ", "\(mapping.address(record.address))"))
        }
        let aliases = record.names.dropFirst().map(\.text)
        if !aliases.isEmpty { facts.append(("aliases    ", aliases.joined(separator: ", "))) }
        if !clones.isEmpty {
            facts.append(("clones     ", clones.map(\.displayName).joined(separator: ", ")))
        }
        facts.append(
            (
                record.verdict.site == nil ? "unpatchable" : "patchable  ",
                record.verdict.detail
            ))
        switch original {
        case .callable:
            facts.append(("original   ", "can be called by what replaces it"))
        case .refused(.unpatchable):
            break
        case .refused(let refusal):
            facts.append(("original   ", "cannot be called when replaced: \(refusal)"))
        }
        for obstacle in obstacles where obstacle != record.verdict.refusal {
            facts.append(("obstacle   ", obstacle.description))
        }
        return facts
    }

    private var processText: String {
        guard object.mapping != nil, bytesNow != nil else { return "" }
        guard differsInProcess else { return "\nThe process has the same bytes.\n" }
        return "\nIn the process now:\n" + listing(linesNow)
    }

    /// The bytes that a detour overwrites are marked.
    private func listing(_ lines: [Line]) -> String {
        let width = lines.map { $0.bytes.count * 3 }.max() ?? 0
        return lines.map { line in
            let bytes = line.bytes.map { Hexadecimal.text([$0]) }.joined(separator: " ")
            let padding = String(repeating: " ", count: max(0, width - bytes.utf8.count))
            return
                "  \(line.isInSite ? ">" : " ") \(line.address)  \(bytes)\(padding)\(line.text)\n"
        }.joined()
    }
}

// MARK: - For programs

extension FunctionView {
    func instructionTable() -> Table {
        var table = Table([
            .init(title: "address"), .init(title: "bytes"), .init(title: "site"),
            .init(title: "instruction"),
        ])
        for line in lines {
            table.add([
                line.address, Hexadecimal.text(line.bytes), line.isInSite ? "yes" : "no",
                line.text,
            ])
        }
        return table
    }

    var json: JSONValue {
        guard case .object(let members) = record.json(in: object, original: original) else {
            return .null
        }
        return .object(
            members + [
                JSONMember("clones", .array(clones.map { .string($0.displayName) })),
                JSONMember(
                    "obstacles",
                    .array(
                        obstacles.map {
                            ["code": .string($0.code.rawValue), "reason": .string($0.description)]
                        })),
                JSONMember("instructions", .array(lines.map(json))),
                JSONMember(
                    "bytesInProcess", bytesNow.map { .string(Hexadecimal.text($0)) } ?? .null),
                JSONMember(
                    "sameInProcess", bytesNow == nil ? .null : .bool(!differsInProcess)),
            ])
    }

    private func json(_ line: Line) -> JSONValue {
        [
            "address": .string(line.address),
            "bytes": .string(Hexadecimal.text(line.bytes)),
            "inSite": .bool(line.isInSite),
            "text": .string(line.text),
        ]
    }
}
