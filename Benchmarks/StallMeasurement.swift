import Glibc

/// What `apply` takes from a thread that runs meanwhile, and how long the
/// command takes.
struct StallMeasurement {
    let threads: Int
    let runners: Int
    /// Each the largest gap of a window, in µs.
    var alone = Sample()
    var checking = Sample()
    var applying = Sample()
    var reverting = Sample()
    /// Whole commands, in ms.
    var apply = Sample()
    var revert = Sample()
    var interrupted: UInt64 = 0

    init(threads: Int, runners: Int, pairs: Int, tools: Tools, report: Report) throws {
        self.threads = threads
        self.runners = min(threads, runners)
        let victim = try Victim("gaps", ["\(threads)", "\(self.runners)"], tools: tools)
        let target = ["--pid", "\(victim.pid)"]
        // The first apply shows how long the windows without the tool must be.
        var length = 0.02
        for pair in 0..<pairs + 2 {
            report.progress("stall, \(threads) threads, \(pair) of \(pairs)")
            let alone = try victim.during(answer: 1) { usleep(UInt32(length * 1e6)) }
            let checking = try victim.during(answer: 1) {
                _ = try Run([tools.hotpatch, "check", victim.patch] + target)
            }
            let (applying, apply) = try Self.run(
                [tools.hotpatch, "apply", victim.patch] + target, on: victim, answers: 2)
            let (reverting, revert) = try Self.run(
                [tools.hotpatch, "revert", "gaps"] + target, on: victim, answers: 1)
            length = apply / 1000
            guard pair >= 2 else { continue }  // caches and page tables are warm now
            self.alone.add(Double(alone) / 1000)
            self.checking.add(Double(checking) / 1000)
            self.applying.add(applying)
            self.reverting.add(reverting)
            self.apply.add(apply)
            self.revert.add(revert)
        }
        interrupted = victim.interrupted
    }

    /// The largest gap in µs and the command's time in ms. The victim's own
    /// answer must show that the command did what it says.
    private static func run(
        _ command: [String], on victim: Victim, answers expected: UInt64
    ) throws -> (gap: Double, time: Double) {
        var time = 0.0
        let gap = try victim.during(answer: expected) { time = try Run(command).seconds * 1000 }
        return (Double(gap) / 1000, time)
    }

    static func show(_ rows: [StallMeasurement], report: Report) {
        report.heading("Largest gap of a running thread, µs: median (p90)")
        report.table(
            [["threads", "running", "without the tool", "check", "apply", "revert", "EINTR"]]
                + rows.map { row in
                    ["\(row.threads)", "\(row.runners)"]
                        + [row.alone, row.checking, row.applying, row.reverting].map {
                            "\($0.median.fixed(0)) (\($0.p90.fixed(0)))"
                        } + ["\(row.interrupted)"]
                })
        report.line(
            "'check' stops the threads too, and writes nothing: what apply takes beyond it is the switch."
        )
        report.heading("Whole command, ms: median (p90)")
        report.table(
            [["threads", "apply", "revert"]]
                + rows.map { row in
                    ["\(row.threads)"]
                        + [row.apply, row.revert].map {
                            "\($0.median.fixed(1)) (\($0.p90.fixed(1)))"
                        }
                })
        guard let ten = rows.first(where: { $0.threads == 10 }) else { return }
        let stall = ten.applying.median - ten.alone.median
        report.target(
            "stall at 10 threads above the victim's own gap", "\(stall.fixed(0)) µs",
            atMost: "400 µs", holds: stall <= 400)
        report.target(
            "apply at 10 threads", "\(ten.apply.median.fixed(1)) ms", atMost: "30 ms",
            holds: ten.apply.median <= 30)
        let interrupted = rows.map(\.interrupted).reduce(0, +)
        report.target(
            "system calls that came back early", "\(interrupted)", atMost: "0",
            holds: interrupted == 0)
    }
}
