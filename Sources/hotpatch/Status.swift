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
            for (_, found) in try targets.find(all: Switchover.patchedProcesses) {
                let process = try found.get()
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
        var table = Table([
            .init(title: "pid", alignment: .right), .init(title: "program"),
            .init(title: "patch"), .init(title: "version"), .init(title: "state"),
            .init(title: "since"), .init(title: "object"),
            .init(title: "functions", mayShrink: true),
        ])
        for (process, patch) in rows {
            let record = patch.record
            table.add([
                "\(process.id)", process.name, record.name, record.version, patch.state.rawValue,
                !patch.state.isSwitchedIn ? "" : patch.appliedAt.map(LocalTime.text) ?? "",
                record.object, record.detours.map(\.symbol).joined(separator: " "),
            ])
        }
        try StandardOutput.write(table.text(format: output.format, width: StandardOutput.width))
    }
}

extension AppliedPatch {
    fileprivate func json(in process: TargetProcess) -> JSONValue {
        [
            "pid": .integer(Int64(process.id.rawValue)),
            "program": .string(process.name),
            "patch": .string(record.name),
            "version": .string(record.version),
            "digest": .string(record.digest),
            "state": .string(state.rawValue),
            "since": appliedAt.map { .string(LocalTime.text($0)) } ?? .null,
            "object": .string(record.object),
            "base": .string(record.base),
            "payload": [
                "start": .string("\(record.extent.start)"),
                "size": .integer(Int64(clamping: record.extent.range?.count ?? 0)),
            ],
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
