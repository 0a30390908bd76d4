import ArgumentParser
import Glibc
import HotpatchKit
import JSONText
import SystemPackage

struct Status: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Tell which patches are applied where.",
        discussion: """
            Read from the processes alone, whoever applied the patches and wherever their files are \
            now. Without a target, all processes are looked at.
            """)

    @OptionGroup var targets: TargetSelection
    @OptionGroup var output: OutputOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func run() throws {
        let isSurvey = targets.pids.isEmpty && targets.exe == nil
        var rows: [(TargetProcess, AppliedPatch)] = []
        var notLookedAt = 0
        if isSurvey {
            let search = try allPatched()
            notLookedAt = search.notPermitted.count
            for id in search.found {
                // It was there a moment ago; gone is not an error here.
                guard let process = try? TargetProcess.find(id),
                    let patches = try? Switchover.status(of: process)
                else { continue }
                rows += patches.map { (process, $0) }
            }
        } else {
            for (_, found) in try targets.find(
                all: Switchover.patchedProcesses, none: "no process has a patch")
            {
                let process = try found.get()
                try process.requireSupportedProgram()
                rows += try Switchover.status(of: process).map { (process, $0) }
            }
        }
        try print(rows)
        if notLookedAt > 0 {
            let advice = geteuid() == 0 ? "" : "; run this as root to see them too"
            StandardError.write(
                "hotpatch: not permitted to look at \(notLookedAt) "
                    + "process\(notLookedAt == 1 ? "" : "es")\(advice)\n")
        }
    }

    private func allPatched() throws(Failure) -> ProcessSearch {
        do throws(Errno) {
            return try Switchover.patchedProcesses()
        } catch {
            throw Failure(
                status: .failed, code: "process.search",
                message: "cannot look for patched processes: \(error)")
        }
    }

    private func print(_ rows: [(TargetProcess, AppliedPatch)]) throws(Failure) {
        if output.format == .json {
            let patches = rows.map { $1.json(in: $0) }
            return try StandardOutput.write(
                json: [JSONMember("patches", .array(patches))], command: "status")
        }
        if rows.isEmpty && output.format == .table {
            return try StandardOutput.write("No patch is applied.\n")
        }
        let table = table(rows)
        try StandardOutput.write(table.text(format: output.format, width: StandardOutput.width))
    }

    /// People see a digest only where one process has two builds of a patch; programs
    /// can rely on its column.
    private func table(_ rows: [(TargetProcess, AppliedPatch)]) -> Table {
        let isForPrograms = output.format == .tsv
        let showsDigest = isForPrograms || hasNamesakes(rows)
        var columns: [Table.Column] = [
            .init(title: "pid", alignment: .right),
            .init(title: "program", shrinking: .init(rank: 4, least: 8)),
            .init(title: "patch", shrinking: .init(rank: 5, least: 8)),
            .init(title: "version"), .init(title: "state"),
            // Down to the day.
            .init(title: "since", shrinking: .init(rank: 3, least: 11)),
            .init(
                title: "object", shrinking: .init(rank: 1, least: 6, keepsFileName: true)),
            .init(title: "functions", shrinking: .init(rank: 2, least: 9)),
        ]
        if showsDigest { columns.append(.init(title: "digest")) }
        var table = Table(columns)
        for (process, patch) in rows {
            let record = patch.record
            table.add([
                "\(process.id)", process.name, record.name, record.version, patch.state.rawValue,
                patch.since.map(LocalTime.text) ?? "", record.object,
                isForPrograms
                    ? record.detours.map(\.symbol).joined(separator: " ") : patch.functions,
                isForPrograms ? record.digest : String(record.digest.prefix(12)),
            ])
        }
        return table
    }

    private func hasNamesakes(_ rows: [(TargetProcess, AppliedPatch)]) -> Bool {
        var names: Set<String> = []
        return rows.contains { !names.insert("\($0.id) \($1.record.name)").inserted }
    }
}

extension AppliedPatch {
    /// The functions that it replaces; with those that another patch has taken over
    /// comes that patch.
    fileprivate var functions: String {
        let over = Dictionary(covered.map { ($0.symbol, $0.by) }, uniquingKeysWith: { $1 })
        return record.detours.map { detour in
            detour.symbol + (over[detour.symbol].map { " (under \($0))" } ?? "")
                + (disturbed[detour.symbol].map { " (\($0))" } ?? "")
        }.joined(separator: " ") + (damage.map { "; \($0.description)" } ?? "")
    }

    /// What somebody else has written at a function's entry.
    private var disturbed: [String: String] {
        Dictionary(
            disturbances.map {
                ($0.symbol, $0.isBreakpoint ? "breakpoint at \($0.address)" : "overwritten")
            }, uniquingKeysWith: { first, _ in first })
    }

    /// When it was applied, where it still is.
    fileprivate var since: UInt64? { state.isSwitchedIn ? appliedAt : nil }

    fileprivate func json(in process: TargetProcess) -> JSONValue {
        [
            "pid": .integer(Int64(process.id.rawValue)),
            "program": .string(process.name),
            "patch": .string(record.name),
            "version": .string(record.version),
            "digest": .string(record.digest),
            "state": .string(state.rawValue),
            "since": since.map { .string(LocalTime.text($0)) } ?? .null,
            "object": .string(record.object),
            "base": .string(record.base),
            "payload": [
                "start": .string("\(record.extent.start)"),
                "size": .integer(Int64(clamping: record.extent.range?.count ?? 0)),
            ],
            "covered": .array(
                covered.map { ["symbol": .string($0.symbol), "by": .string($0.by)] }),
            "disturbances": .array(
                disturbances.map {
                    [
                        "symbol": .string($0.symbol), "address": .string("\($0.address)"),
                        "found": .string(Hexadecimal.text($0.found)),
                        "breakpoint": .bool($0.isBreakpoint),
                    ]
                }),
            "damage": damage.map { .string($0.description) } ?? .null,
            "functions": .array(
                record.detours.map {
                    [
                        "symbol": .string($0.symbol), "site": .string("\($0.site)"),
                        "entry": .string("\($0.entry)"),
                    ]
                }),
        ]
    }
}
