import JSONText
import SystemPackage
import TestSupport

/// Tries one case from the sources to the reverted patch.
struct Trial {
    private let trial: Case
    private let workshop: Workshop

    init(of trial: Case, in workshop: Workshop) {
        self.trial = trial
        self.workshop = workshop
    }

    /// What came of it; what cannot even be tried is a fault too.
    func run() -> Outcome {
        var outcome = Outcome()
        do {
            try run(&outcome)
        } catch {
            outcome.faults.append("\(error)")
        }
        return outcome
    }

    private func run(_ outcome: inout Outcome) throws {
        try workshop.prepare(trial)
        outcome.version = try workshop.version(trial)
        let built = try workshop.build(trial)
        switch trial.expectation {
        case .refused(let code, let says):
            outcome.refusal = built.errorOutput.replacing("hotpatch: ", with: "")
            guard built.code == 2 else {
                outcome.faults.append("expected a refusal, but 'build' ended with \(built.exit)")
                return
            }
            for text in ["[\(code)]"] + says where !built.errorOutput.contains(text) {
                outcome.faults.append("the refusal does not say '\(text)'")
            }
        case .live(let reproducer):
            guard built.succeeded else {
                outcome.refusal = built.errorOutput
                outcome.faults.append("'build' ended with \(built.exit): \(built.errorOutput)")
                return
            }
            try outcome.read(
                JSONCursor(try JSONValue(parsing: built.outputBytes)),
                patch: workshop.patch(trial))
            if let reproducer, reproducer.isTriedAlone { try tryAlone(reproducer, &outcome) }
            try tryUnderLoad(reproducer, &outcome)
        }
    }

    // MARK: - Without load

    /// A daemon that does not survive the reproducer, or not in good health, is tried by
    /// itself: as it is, and after the patch was applied and reverted.
    private func tryAlone(_ reproducer: Case.Reproducer, _ outcome: inout Outcome) throws {
        progress("\(trial.name): trying it without the patch")
        let unfixed = try Daemon(trial, in: workshop)
        let kills = reproducer.kills
        expect(try unfixed.behaviour(mayDie: kills), reproducer.unfixed, "unpatched", &outcome)
        _ = try unfixed.end()
        let reverted = try Daemon(trial, in: workshop)
        _ = try hotpatch("apply", workshop.patch(trial).string)
        _ = try hotpatch("revert", trial.fix)
        expect(try reverted.behaviour(mayDie: kills), reproducer.unfixed, "reverted", &outcome)
    }

    private func expect(
        _ found: String, _ expected: String, _ state: String, _ outcome: inout Outcome
    ) {
        guard found != expected else { return }
        outcome.faults.append("\(state) it '\(found)', where '\(expected)' was expected")
    }

    // MARK: - Under load

    private func tryUnderLoad(_ reproducer: Case.Reproducer?, _ outcome: inout Outcome) throws {
        progress("\(trial.name): trying it under load")
        var live = Outcome.Live()
        let daemon = try Daemon(trial, in: workshop)
        try daemon.startLoad()
        try daemon.awaitRounds()
        func reproduce(_ expected: String?, _ state: String) throws {
            guard let reproducer, let expected else { return }
            guard expected != reproducer.unfixed || !reproducer.isTriedAlone else {
                // Tried by itself before.
                live.behaviour.append(reproducer.unfixed)
                return
            }
            let found = try daemon.behaviour(mayDie: false)
            live.behaviour.append(found)
            expect(found, expected, state, &outcome)
        }
        try reproduce(reproducer?.unfixed, "unpatched")

        let applied = try hotpatch("apply", workshop.patch(trial).string)
        let targets = try applied.member("targets").elements()
        live.processes = targets.count
        live.stall = try targets.reduce(0) {
            max($0, Int(try $1.optionalMember("stallMicroseconds")?.integer() ?? 0))
        }
        live.entries = try entries(in: daemon) {
            try reproduce(reproducer?.fixed, "patched")
        }
        for symbol in outcome.replaced where live.entries[symbol] == 0 {
            outcome.faults.append("the new '\(symbol)' was never entered")
        }

        _ = try hotpatch("revert", trial.fix)
        try expectNothingApplied(&outcome)
        try reproduce(reproducer?.unfixed, "reverted")
        try daemon.awaitRounds()
        let served = try daemon.stopLoad()
        live.requests = served.requests
        live.failed = served.failed
        if served.failed > 0 { outcome.faults.append("\(served.failed) requests failed") }
        if served.requests == 0 { outcome.faults.append("the load did nothing") }
        if let fault = try daemon.end() { outcome.faults.append(fault) }
        outcome.live = live
    }

    /// Counts the entries into all replacements, four at a time, each for two rounds of
    /// the load and the reproducer.
    private func entries(
        in daemon: Daemon, _ reproduce: () throws -> Void
    ) throws -> [String: Int] {
        let patches = try hotpatch("status").member("patches").elements()
        let functions = try patches.flatMap { patch in
            let pid = Int32(clamping: try patch.member("pid").integer())
            return try patch.member("functions").elements().map { function in
                (
                    pid: pid, symbol: try function.member("symbol").string(),
                    entry: try function.member("entry").hexadecimalNumber()
                )
            }
        }
        var entries = Dictionary(functions.map { ($0.symbol, 0) }, uniquingKeysWith: { $1 })
        let longest = Dictionary(grouping: functions, by: \.pid).values.map(\.count).max() ?? 0
        for start in stride(from: 0, to: max(longest, 1), by: 4) {
            let counted = Dictionary(grouping: functions, by: \.pid).map { pid, all in
                (pid: pid, functions: all.dropFirst(start).prefix(4))
            }
            let counters = try counted.map { pid, some in
                try EntryCounter(some.map(\.entry), in: pid)
            }
            try daemon.awaitRounds()
            if start == 0 { try reproduce() }
            for (counter, counted) in zip(counters, counted) {
                for (count, function) in zip(try counter.counts(), counted.functions) {
                    entries[function.symbol, default: 0] += Int(count)
                }
            }
        }
        return entries
    }

    private func expectNothingApplied(_ outcome: inout Outcome) throws {
        for patch in try hotpatch("status").member("patches").elements() {
            let state = try patch.member("state").string()
            if state != "reverted" { outcome.faults.append("after the revert it is \(state)") }
        }
    }

    /// Runs the tool on all processes of the program.
    private func hotpatch(_ arguments: String...) throws -> JSONCursor {
        let all = arguments + ["--exe", workshop.program(trial).string, "--format", "json"]
        let done = try Command.run(workshop.hotpatch.string, all)
        guard done.succeeded else {
            throw TestSupportError(
                "hotpatch \(arguments) ended with \(done.exit): \(done.output)\(done.errorOutput)")
        }
        return JSONCursor(try JSONValue(parsing: done.outputBytes))
    }
}
