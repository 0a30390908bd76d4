import Glibc
import HotpatchKit
import JSONText
import SystemPackage

/// What came of one process.
struct TargetResult {
    let id: ProcessID
    let name: String
    let outcome: Result<SwitchReport, Failure>
    /// The patch that it is about, where one of several failed.
    var subject: AuditedWork.Subject?

    /// As a person reads it; a process that was not found has no name.
    var title: String { name.isEmpty ? "\(id)" : "\(id) (\(name.printableLine))" }

    /// What came of it, for a person.
    var sentence: String {
        switch outcome {
        case .success(let report): "\(title): \(report.sentence)"
        case .failure(let failure):
            "\(title): \(subject.map { "'\($0.name)': " } ?? "")\(failure.message.printable) "
                + "[\(failure.code)]"
        }
    }

    var status: ExitStatus {
        switch outcome {
        case .success: .done
        case .failure(let failure): failure.status
        }
    }

    /// The signal that ended the work on it.
    var signal: Int32? {
        if case .failure(let failure) = outcome { failure.signal } else { nil }
    }
}

extension [TargetResult] {
    /// One status for all: what they agree on, or that they do not. Nothing to do
    /// is done.
    var status: ExitStatus {
        guard let first = self.first?.status else { return .done }
        if allSatisfy({ $0.status == first }) { return first }
        return contains { $0.status == .done } ? .partlyDone : .failed
    }

    /// Prints all results and ends the command with their status.
    ///
    /// What was done is done, whether it can be printed or not: where standard
    /// output fails, standard error tells it.
    ///
    /// - Parameter store: what became of the store before.
    func report(
        command: String, format: OutputFormat, store: [StoreRow]? = nil
    ) throws(Failure) {
        _ = signal(SIGPIPE, SIG_IGN)
        do throws(Failure) {
            try print(command: command, format: format, store)
        } catch {
            for row in store ?? [] { StandardError.write("hotpatch: \(row.sentence)\n") }
            for result in self { StandardError.write("hotpatch: \(result.sentence)\n") }
            // Both the terminal and the tool are to go: that is what it was ended by.
            if let signal = compactMap(\.signal).first { HeldSignals.endProcess(by: signal) }
            throw error
        }
        if let signal = compactMap(\.signal).first { HeldSignals.endProcess(by: signal) }
        if status == .done { return }
        Hotpatch.exit(with: store == nil ? status : .partlyDone)
    }

    private func print(
        command: String, format: OutputFormat, _ store: [StoreRow]?
    ) throws(Failure) {
        switch format {
        case .json:
            let patches = store.map { JSONMember("patches", .array($0.map(\.json))) }
            let targets = JSONMember("targets", .array(map(\.json)))
            try StandardOutput.write(
                json: [patches, targets].compactMap(\.self), command: command)
        case .tsv:
            var table = Table([
                .init(title: "pid", alignment: .right), .init(title: "program"),
                .init(title: "result"), .init(title: "patch"), .init(title: "stall_us"),
                .init(title: "duration_us"), .init(title: "detail"),
            ])
            for row in store ?? [] { table.add(row.cells) }
            for result in self { table.add(result.cells) }
            try StandardOutput.write(table.text(format: .tsv, width: nil))
        case .table:
            for row in store ?? [] { try StandardOutput.write(row.sentence + "\n") }
            for result in self {
                switch result.outcome {
                case .success: try StandardOutput.write(result.sentence + "\n")
                case .failure(let failure):
                    StandardError.write("hotpatch: \(result.sentence)\n")
                    StandardError.write(failure.activities.text)
                }
            }
            if store != nil, status != .done {
                StandardError.write(
                    "hotpatch: the store is changed all the same; the same command tries these "
                        + "processes again\n")
            }
        }
    }
}

extension TargetResult {
    fileprivate var json: JSONValue {
        let head = [
            JSONMember("pid", .integer(Int64(id.rawValue))), JSONMember("program", .string(name)),
        ]
        switch outcome {
        case .success(let report):
            return .object(
                head + [
                    JSONMember("result", .string(report.outcome.rawValue)),
                    JSONMember("patch", .string(report.patch)),
                    JSONMember("functions", .array(report.symbols.map { .string($0) })),
                    JSONMember(
                        "threads", report.stop.map { .integer(Int64($0.threadCount)) } ?? .null),
                    JSONMember(
                        "stallMicroseconds",
                        report.stop.map { .integer($0.stallMicroseconds) } ?? .null),
                    JSONMember(
                        "stopBegan",
                        report.stop.map { .integer(Int64(clamping: $0.began)) } ?? .null),
                    JSONMember(
                        "stopMicroseconds",
                        report.stop.map { .integer(Int64(clamping: $0.allStopped / 1000)) }
                            ?? .null),
                    JSONMember("attempts", .integer(Int64(report.attempts))),
                    JSONMember("durationMicroseconds", .integer(report.duration.microseconds)),
                ])
        case .failure(let failure):
            return .object(
                head + (subject.map { [JSONMember("patch", .string($0.name))] } ?? []) + [
                    JSONMember("result", .string(failure.status.word)),
                    JSONMember("code", .string(failure.code)),
                    JSONMember("message", .string(failure.message)),
                ] + failure.activities.json)
        }
    }

    fileprivate var cells: [String] {
        switch outcome {
        case .success(let report):
            [
                "\(id)", name, report.outcome.rawValue, report.patch,
                report.stop.map { "\($0.stallMicroseconds)" } ?? "",
                "\(report.duration.microseconds)", report.symbols.joined(separator: " "),
            ]
        case .failure(let failure):
            [
                "\(id)", name, failure.status.word, subject?.name ?? "", "", "",
                "\(failure.code): \(failure.message)",
            ]
        }
    }
}

extension ExitStatus {
    /// The status as machine-readable output names it.
    var word: String {
        switch self {
        case .done: "done"
        case .failed: "failed"
        case .refused: "refused"
        case .timedOut: "timed-out"
        case .partlyDone: "partly-done"
        case .noSuchTarget: "no-such-target"
        case .notPermitted: "not-permitted"
        case .usage: "usage"
        case .cannotRun: "cannot-run"
        case .commandNotFound: "command-not-found"
        }
    }
}

extension SwitchReport {
    /// What happened, for a person.
    fileprivate var sentence: String {
        let functions = symbols.count == 1 ? symbols[0] : "\(symbols.count) functions"
        let what =
            switch outcome {
            case .applied: "applied '\(patch)': \(functions)"
            case .alreadyApplied: "'\(patch)' is applied already; nothing to do"
            case .reverted: "reverted '\(patch)': \(functions)"
            case .alreadyReverted: "'\(patch)' is reverted already; nothing to do"
            case .possible: "'\(patch)' can be applied: \(functions)"
            }
        guard let stop else { return what }
        let threads = stop.threadCount == 1 ? "1 thread" : "\(stop.threadCount) threads"
        let tries = attempts == 1 ? "" : ", \(attempts) tries"
        return "\(what) (\(threads), stalled for \(stop.stallMicroseconds) µs\(tries); "
            + "\(duration.milliseconds) ms in all)"
    }
}

extension Duration {
    var microseconds: Int64 {
        components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
    }

    fileprivate var milliseconds: String {
        let tenths = (microseconds + 50) / 100
        return "\(tenths / 10).\(tenths % 10)"
    }
}
