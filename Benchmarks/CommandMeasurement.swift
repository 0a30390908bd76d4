import Glibc

/// Commands that touch no process: how fast they are, and how much they need.
enum CommandMeasurement {
    static func startUp(runs: Int, tools: Tools, report: Report) throws {
        var nothing = Sample()
        var version = Sample()
        for _ in 0..<runs {
            report.progress("start-up")
            nothing.add(try Run(["true"]).seconds * 1000)
            version.add(try Run([tools.hotpatch, "--version"]).seconds * 1000)
        }
        report.heading("Start-up, ms: median (p90)")
        report.table([
            ["hotpatch --version", "\(version.median.fixed(1)) (\(version.p90.fixed(1)))"],
            ["true", "\(nothing.median.fixed(1)) (\(nothing.p90.fixed(1)))"],
        ])
        report.target(
            "start-up", "\(version.median.fixed(1)) ms", atMost: "10 ms",
            holds: version.median <= 10)
    }

    /// `list-symbols --summary` and `nm -S` on the same file, in turns.
    static func listSymbols(file: ELFFile, runs: Int, tools: Tools, report: Report) throws {
        var ours = (seconds: Sample(), memory: Sample())
        var nm = (seconds: Sample(), memory: Sample())
        var summary = ""
        for run in 0..<runs {
            report.progress("list-symbols on \(file.path), \(run) of \(runs)")
            let other = try Run(["nm", "-S", file.path], discardingOutput: true)
            let own = try Run([tools.hotpatch, "list-symbols", "--summary", file.path])
            summary = own.output
            guard run > 0 || runs == 1 else { continue }  // the file is in the page cache now
            nm.seconds.add(other.seconds)
            nm.memory.add(Double(other.peakMemory) / 1e6)
            ours.seconds.add(own.seconds)
            ours.memory.add(Double(own.peakMemory) / 1e6)
        }
        let size = Double(file.size) / 1e6
        report.heading("list-symbols on \(file.path) (\(size.fixed(0)) MB), medians")
        report.table([
            ["", "seconds", "peak memory, MB"],
            [
                "hotpatch list-symbols --summary", ours.seconds.median.fixed(2),
                ours.memory.median.fixed(0),
            ],
            ["nm -S", nm.seconds.median.fixed(2), nm.memory.median.fixed(0)],
        ])
        for line in summary.split(separator: "\n") { report.line("| \(line)") }
        let ratio = ours.seconds.median / nm.seconds.median
        report.target(
            "time against nm -S", "\(ratio.fixed(2)) times", atMost: "2 times", holds: ratio <= 2)
        let share = ours.memory.largest / size
        report.target(
            "peak memory against the file's size", "\(share.fixed(2)) times", atMost: "2 times",
            holds: share <= 2)
    }
}
