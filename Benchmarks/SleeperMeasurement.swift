import Glibc

/// How late sleeping threads wake up whose time comes in the middle of a switch.
struct SleeperMeasurement {
    let threads: Int
    /// In µs: of those due while no tool is at work, and of those due between the
    /// first interrupted thread and the last that is let go.
    var alone = Sample()
    var during = Sample()

    init(threads: Int, pairs: Int, tools: Tools, report: Report) throws {
        self.threads = threads
        let timed = min(threads - 1, 8)
        // The one that runs is the main thread.
        let victim = try Victim("gaps", ["\(threads)", "1", "\(timed)"], tools: tools)
        let target = ["--pid", "\(victim.pid)"]
        for pair in 0..<pairs {
            report.progress("sleepers, \(threads) threads, \(pair) of \(pairs)")
            for (command, answer) in [(["apply", victim.patch], 2), (["revert", "gaps"], 1)] {
                let start = Clock.nanoseconds
                usleep(20000)
                let quiet = start..<Clock.nanoseconds
                for late in victim.newNotes() where quiet.contains(late.lowerBound) {
                    alone.add(Double(late.count) / 1000)
                }
                let switched = try Switch(
                    [tools.hotpatch] + command + target, on: victim, answers: UInt64(answer))
                for late in switched.notes where switched.stop.contains(late.lowerBound) {
                    during.add(Double(late.count) / 1000)
                }
            }
        }
    }

    static func show(_ rows: [SleeperMeasurement], report: Report) {
        report.heading(
            "How late a sleeping thread wakes up that is due in a switch, µs: p50, p99, max")
        report.table(
            [["threads", "without the tool", "in a switch", "samples"]]
                + rows.map { row in
                    ["\(row.threads)"]
                        + [row.alone, row.during].map {
                            "\($0.median.fixed(0)), \($0.p99.fixed(0)), \($0.largest.fixed(0))"
                        } + ["\(row.during.count)"]
                })
    }
}
