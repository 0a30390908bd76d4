import Glibc

/// What a switch takes from the threads that run meanwhile, and how long the
/// command takes.
struct StallMeasurement {
    let threads: Int
    let runners: Int
    /// Each the largest gap of a running thread, in µs: without the tool, and
    /// between the first interrupted thread and the last that was let go.
    var alone = Sample()
    var applying = Sample()
    var reverting = Sample()
    /// How long the running threads, and all threads, were stopped, in µs.
    var runnersStopped = Sample()
    var allStopped = Sample()
    /// The largest gap during the whole command, in µs, and its time, in ms.
    var wholeCheck = Sample()
    var wholeApply = Sample()
    var apply = Sample()
    var revert = Sample()
    var interrupted: UInt64 = 0
    let others: [OtherTool]

    /// How many pairs of switches began while other programs ran.
    var disturbed = 0

    init(
        threads: Int, runners: Int, pairs: Int, patience: Double, tools: Tools, report: Report
    ) throws {
        self.threads = threads
        self.runners = min(threads, runners)
        let victim = try Victim("gaps", ["\(threads)", "\(self.runners)"], tools: tools)
        let target = ["--pid", "\(victim.pid)"]
        for pair in 0..<pairs + 2 {
            report.progress("stall, \(threads) threads, \(pair) of \(pairs)")
            let isQuiet = try Machine.waitForQuiet(besides: self.runners, seconds: patience)
            let check = try victim.during(answer: 1) {
                _ = try Run([tools.hotpatch, "check", victim.patch] + target)
            }
            let applied = try Switch(
                [tools.hotpatch, "apply", victim.patch] + target, on: victim, answers: 2)
            let reverted = try Switch(
                [tools.hotpatch, "revert", "gaps"] + target, on: victim, answers: 1)
            // As long as the switch was, so that the scheduler has the same chance.
            let alone = try Self.largestGap(of: victim, during: applied.stop)
            guard pair >= 2 else { continue }  // caches and page tables are warm now
            if !isQuiet { disturbed += 1 }
            self.alone.add(alone)
            applying.add(applied.gap)
            reverting.add(reverted.gap)
            for stop in [applied, reverted] {
                runnersStopped.add(stop.stall)
                allStopped.add(Double(stop.stop.count) / 1000)
            }
            wholeCheck.add(Double(check) / 1000)
            wholeApply.add(Double(applied.wholeGap) / 1000)
            apply.add(applied.milliseconds)
            revert.add(reverted.milliseconds)
        }
        interrupted = victim.interrupted
        others = try OtherTool.measure(victim, runs: max(3, pairs), tools: tools) {
            report.progress("stall, \(threads) threads, \($0)")
        }
    }

    /// The largest gap in µs in a time as long as `stop`, while nothing is done to
    /// the victim.
    private static func largestGap(
        of victim: Victim, during stop: Range<UInt64>
    ) throws -> Double {
        usleep(5000)
        let start = Clock.nanoseconds
        usleep(UInt32(stop.count / 1000))
        let time = start..<(start + UInt64(stop.count))
        usleep(20000)  // for a gap that is not over yet
        return victim.newNotes().largest(overlapping: time)
    }
}

/// One `apply` or `revert`, as the victim saw it.
struct Switch {
    /// The largest gap that overlaps `stop`, in µs.
    let gap: Double
    /// The largest gap while the command ran, in ns.
    let wholeGap: UInt64
    let milliseconds: Double
    /// From the first interrupted thread to the last that was let go, in
    /// nanoseconds of CLOCK_MONOTONIC.
    let stop: Range<UInt64>
    /// µs for which the tool says that running threads stood still.
    let stall: Double
    let notes: [Range<UInt64>]

    /// The victim's own answer must show that the command did what it says.
    init(_ command: [String], on victim: Victim, answers expected: UInt64?) throws {
        var run: Run?
        _ = victim.newNotes()
        wholeGap = try victim.during(answer: expected) {
            run = try Run(command + ["--format", "json"])
        }
        guard let run else { throw BenchError("\(command) did not run") }
        milliseconds = run.seconds * 1000
        let began = UInt64(try run.number("stopBegan"))
        stop = began..<(began + UInt64(try run.number("stopMicroseconds")) * 1000)
        stall = Double(try run.number("stallMicroseconds"))
        notes = victim.newNotes()
        gap = notes.largest(overlapping: stop)
    }
}

extension [Range<UInt64>] {
    /// In µs; 0 where there is none.
    func largest(overlapping time: Range<UInt64>) -> Double {
        Double(filter { $0.overlaps(time) }.map(\.count).max() ?? 0) / 1000
    }
}
