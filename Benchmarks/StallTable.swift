/// The tables of the stall, and what the figures are to be.
extension StallMeasurement {
    static func show(_ rows: [StallMeasurement], report: Report) {
        report.heading(
            "Largest gap of a running thread in a switch, from the first interrupted thread to the"
                + " last that is let go, µs: median (p90, max)")
        report.table(
            [["threads", "running", "without the tool", "apply", "revert", "EINTR"]]
                + rows.map { row in
                    ["\(row.threads)", "\(row.runners)"]
                        + [row.alone, row.applying, row.reverting].map(\.summary)
                        + ["\(row.interrupted)"]
                })
        let disturbed = rows.map(\.disturbed).reduce(0, +)
        if disturbed > 0 {
            report.line(
                "Other programs wanted the processors at \(disturbed) of"
                    + " \(rows.map(\.applying.count).reduce(0, +)) pairs: not the figures of a quiet machine."
            )
        }
        report.heading("How long threads are held in a switch, µs: median (p90, max)")
        report.table(
            [["threads", "those that run", "all"]]
                + rows.map { row in
                    ["\(row.threads)", row.runnersStopped.summary, row.allStopped.summary]
                })
        report.heading("Largest gap of a running thread by other means, µs: median (p90, max)")
        report.table(
            [["threads"] + (rows.first?.others.map(\.name) ?? [])]
                + rows.map { row in ["\(row.threads)"] + row.others.map(\.gap.summary) })
        for line in rows.first?.others.compactMap(\.remark) ?? [] { report.line(line) }
        showCommands(rows, report: report)
        judge(rows, report: report)
    }

    private static func showCommands(_ rows: [StallMeasurement], report: Report) {
        report.heading("Whole command: median (p90, max)")
        report.table(
            [
                [
                    "threads", "apply, ms", "revert, ms", "gap during apply, µs",
                    "gap during check, µs",
                ]
            ]
                + rows.map { row in
                    ["\(row.threads)"]
                        + [row.apply, row.revert].map {
                            "\($0.median.fixed(1)) (\($0.p90.fixed(1)), \($0.largest.fixed(1)))"
                        } + [row.wholeApply, row.wholeCheck].map(\.summary)
                })
        report.line(
            "Besides the switch, a command is a program like any other: where every processor has a"
        )
        report.line("running thread, the scheduler takes one from them for its turn.")
    }

    private static func judge(_ rows: [StallMeasurement], report: Report) {
        for row in rows {
            let worse = max(row.applying.median, row.reverting.median)
            report.target(
                "largest gap at \(row.threads) threads", "\(worse.fixed(0)) µs", atMost: "200 µs",
                holds: worse <= 200)
        }
        if let one = rows.first, let most = rows.last, one.threads == 1, most.threads == 1000 {
            let ratio = most.applying.median / one.applying.median
            report.target(
                "largest gap at 1000 threads against 1", "\(ratio.fixed(2)) times",
                atMost: "2 times", holds: ratio <= 2)
        }
        if let ten = rows.first(where: { $0.threads == 10 }) {
            report.target(
                "apply at 10 threads", "\(ten.apply.median.fixed(1)) ms", atMost: "30 ms",
                holds: ten.apply.median <= 30)
        }
        let interrupted = rows.map(\.interrupted).reduce(0, +)
        report.target(
            "system calls that came back early", "\(interrupted)", atMost: "0",
            holds: interrupted == 0)
    }
}
