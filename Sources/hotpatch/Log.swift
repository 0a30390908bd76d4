import ArgumentParser
import HotpatchKit
import JSONText

struct Log: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Tell what was applied, reverted and refused, when and by whom.",
        discussion: """
            The oldest comes first. The log is a file to which lines are only ever added, \
            audit.jsonl in the state directory; logrotate may move it away at any time.
            """)

    @Option(
        help: ArgumentHelp(
            "Only what was done since then: '2026-11-23', '2026-11-23T06:30:00Z', or '90m', '12h', "
                + "'7d' ago.", valueName: "when"))
    var since: Since?

    @Option(help: ArgumentHelp("Only what was done to this process.", valueName: "pid"))
    var pid: Int32?

    @Option(help: ArgumentHelp("Only what was done with this patch.", valueName: "NAME"))
    var patch: String?

    @Option(name: [.customShort("n"), .long], help: "Only so many, the latest.")
    var lines: Int?

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func validate() throws {
        if let lines, lines < 0 { throw ValidationError("-n takes 0 or more, not \(lines).") }
    }

    func run() throws {
        let (since, pid, patch) = (since?.moment, pid, patch)
        let records = try AuditLog(state.locations).read(last: lines) { event in
            since.map { event.at >= $0 } ?? true
                && pid.map { event.process?.pid == $0 } ?? true
                && patch.map { event.patch == $0 } ?? true
        }
        try print(records)
        if records.skippedCount > 0 {
            let numbers = records.skippedLines.map(String.init).joined(separator: ", ")
            let more = records.skippedCount > records.skippedLines.count ? ", …" : ""
            StandardError.write(
                "hotpatch: warning: skipped \(records.skippedCount) line(s) that are no records "
                    + "(line \(numbers)\(more))\n")
        }
        if records.isTorn {
            StandardError.write(
                "hotpatch: warning: skipped the last line, which was cut off while it was "
                    + "written\n")
        }
    }

    private func print(_ records: AuditRecords) throws(Failure) {
        if output.format == .json {
            return try StandardOutput.write(
                json: [
                    JSONMember("events", .array(records.events.map(\.json))),
                    JSONMember("skipped", .integer(Int64(records.skippedCount))),
                    JSONMember("torn", .bool(records.isTorn)),
                ], command: "log")
        }
        if records.events.isEmpty && output.format == .table {
            return try StandardOutput.write("The log has nothing of that kind.\n")
        }
        var table = Table(
            [
                .init(title: "time"), .init(title: "action"), .init(title: "result"),
                .init(title: "patch", shrinking: .init(rank: 4, least: 8)),
                .init(title: "pid", alignment: .right),
                .init(title: "program", shrinking: .init(rank: 2, least: 8, keepsFileName: true)),
                .init(title: "stall_us", alignment: .right),
                .init(title: "who", shrinking: .init(rank: 3, least: 6)),
                .init(title: "detail", shrinking: .init(rank: 1, least: 12)),
            ] + (output.format == .tsv ? Self.columnsForPrograms : []))
        for event in records.events { table.add(event.cells) }
        try StandardOutput.write(table.text(format: output.format, width: StandardOutput.width))
    }

    private static let columnsForPrograms: [Table.Column] = [
        .init(title: "code"), .init(title: "digest"), .init(title: "base"),
        .init(title: "start_time"), .init(title: "tool_pid"), .init(title: "command"),
    ]
}

/// A moment, or how long ago it was.
struct Since: ExpressibleByArgument {
    let moment: Moment

    init?(argument: String) {
        if let moment = Moment(argument) {
            self.moment = moment
            return
        }
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86400]
        guard let letter = argument.last, let unit = units[letter],
            let count = Int64(argument.dropLast()), (0...1_000_000).contains(count)
        else { return nil }
        moment = Moment(
            microsecondsSince1970: Moment.now.microsecondsSince1970 - count * unit * 1_000_000)
    }
}

extension AuditEvent {
    fileprivate var cells: [String] {
        [
            "\(at)", action.rawValue, result, patch ?? "", process.map { "\($0.pid)" } ?? "",
            process?.executable ?? "", stallMicroseconds.map { "\($0)" } ?? "",
            actor.title,
            [code.map { "[\($0)]" }, message].compactMap(\.self).joined(separator: " "),
            code ?? "", digest ?? "", base ?? "", process.map { "\($0.startTime)" } ?? "",
            "\(actor.pid)", actor.command,
        ]
    }
}
