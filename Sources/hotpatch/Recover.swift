import ArgumentParser
import Glibc
import HotpatchKit
import JSONText
import SystemPackage

struct Recover: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Put right what an interrupted run left behind.",
        discussion: """
            A run that is killed does no harm: the program goes on as before the switch, or as after \
            it. This carries such a switch to its end or takes it back, and takes out what was mapped, \
            opened or written for it. 'apply' and 'revert' begin with the same.
            """)

    @OptionGroup var targets: TargetSelection
    @OptionGroup var switching: SwitchArguments
    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func validate() throws { try targets.requireChoice() }

    func run() throws {
        let found = try targets.find(
            all: { () throws(Errno) in try Switchover.interruptedProcesses() },
            none: "no process has anything of an interrupted run")
        let trail = AuditTrail(state.locations)
        let rows = found.map { id, process in
            do throws(LiveProcessError) {
                let row = recover(try process.get())
                trail.note(row.events(trail, in: try process.get()))
                return row
            } catch {
                return Row(id: id, name: "", outcome: .failure(Failure(error)))
            }
        }
        trail.finish()
        let failures = rows.compactMap(\.failure)
        let interruption = failures.compactMap(\.signal).first
        _ = signal(SIGPIPE, SIG_IGN)
        do throws(Failure) { try print(rows) } catch {
            for row in rows { StandardError.write("hotpatch: \(row.line)") }
            if let interruption { HeldSignals.endProcess(by: interruption) }
            throw error
        }
        if let interruption { HeldSignals.endProcess(by: interruption) }
        if let first = failures.first {
            Hotpatch.exit(with: failures.count == rows.count ? first.status : .partlyDone)
        }
    }

    private func recover(_ process: TargetProcess) -> Row {
        do throws(SwitchoverError) {
            let report = try Switchover.recover(process, options: switching.options)
            return Row(id: process.id, name: process.name, outcome: .success(report))
        } catch {
            return Row(id: process.id, name: process.name, outcome: .failure(Failure(error)))
        }
    }

    private func print(_ rows: [Row]) throws(Failure) {
        switch output.format {
        case .json:
            try StandardOutput.write(
                json: [JSONMember("targets", .array(rows.map(\.json)))], command: "recover")
        case .tsv:
            var table = Table([
                .init(title: "pid", alignment: .right), .init(title: "program"),
                .init(title: "result"), .init(title: "detail"),
            ])
            for row in rows {
                table.add(["\(row.id)", row.name, row.failure?.code ?? "done", row.sentence])
            }
            try StandardOutput.write(table.text(format: .tsv, width: nil))
        case .table:
            for row in rows {
                if row.failure == nil {
                    try StandardOutput.write(row.line)
                } else {
                    StandardError.write("hotpatch: " + row.line)
                }
            }
        }
    }
}

/// What came of one process.
private struct Row {
    let id: ProcessID
    let name: String
    let outcome: Result<RecoveryReport, Failure>

    var failure: Failure? {
        if case .failure(let failure) = outcome { failure } else { nil }
    }

    var sentence: String {
        switch outcome {
        case .success(let report): report.sentence
        case .failure(let failure): "\(failure.message.printable) [\(failure.code)]"
        }
    }

    /// For the log; none where there was nothing to do.
    func events(_ trail: AuditTrail, in process: TargetProcess) -> [AuditEvent] {
        if case .success(let report) = outcome, report.isEmpty { return [] }
        var event = trail.event(.recover, result: failure?.status.word ?? "recovered")
        event.process = AuditEvent.Process(process)
        event.code = failure?.code
        event.message = failure?.message ?? sentence
        return [event]
    }

    var line: String { "\(id) (\(name.printableLine)): \(sentence)\n" }

    var json: JSONValue {
        let head = [
            JSONMember("pid", .integer(Int64(id.rawValue))), JSONMember("program", .string(name)),
        ]
        switch outcome {
        case .success(let report): return .object(head + report.members)
        case .failure(let failure):
            return .object(
                head + [
                    JSONMember("code", .string(failure.code)),
                    JSONMember("message", .string(failure.message)),
                ])
        }
    }
}

extension RecoveryReport {
    fileprivate var sentence: String {
        var parts: [String] = []
        if !completed.isEmpty { parts.append("finished applying or reverting \(list(completed))") }
        if !undone.isEmpty { parts.append("took back an interrupted switch of \(list(undone))") }
        if payloadsRemoved > 0 { parts.append("unmapped what nothing had led to") }
        if filesClosed > 0 { parts.append("closed \(filesClosed) file(s) in memory") }
        if stubsCleared > 0 { parts.append("cleared \(stubsCleared) call stub(s)") }
        if stubsKept > 0 {
            parts.append("left \(stubsKept) call stub(s), which a thread may still be in")
        }
        return parts.isEmpty ? "nothing to put right" : parts.joined(separator: "; ")
    }

    fileprivate var members: [JSONMember] {
        [
            JSONMember("completed", .array(completed.map { .string($0) })),
            JSONMember("undone", .array(undone.map { .string($0) })),
            JSONMember("mappingsRemoved", .integer(Int64(payloadsRemoved))),
            JSONMember("filesClosed", .integer(Int64(filesClosed))),
            JSONMember("stubsCleared", .integer(Int64(stubsCleared))),
            JSONMember("stubsKept", .integer(Int64(stubsKept))),
        ]
    }

    private func list(_ names: [String]) -> String {
        names.map { "'\($0)'" }.joined(separator: ", ")
    }
}
