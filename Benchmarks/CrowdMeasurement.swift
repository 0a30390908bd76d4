import Glibc

/// One patch in many processes of one program, by one command.
enum CrowdMeasurement {
    static func run(processes: Int, tools: Tools, report: Report) throws {
        report.progress("\(processes) processes")
        let program = "\(tools.scratch)/crowd"
        let source = "\(tools.sources)/victims/crowd"
        let patch = program + ".hpatch"
        _ = try Run(["cc", "-std=gnu17", "-O2", "-g", "-o", program, source + ".c"])
        _ = try Run([tools.hotpatch, "build", "--base", program, "-o", patch, source + "-fix.c"])
        let page = try Scratch()
        let first = try Child(
            service: [program, "\(processes)"],
            descriptors: [nil, STDERR_FILENO, STDERR_FILENO, page.descriptor])
        try expect("o", of: processes, in: page)

        let apply = try Run([tools.hotpatch, "apply", patch, "--all"], discardingOutput: true)
        try expect("n", of: processes, in: page)
        let revert = try Run(
            [tools.hotpatch, "revert", "crowd", "--all"], discardingOutput: true)
        try expect("o", of: processes, in: page)
        _ = try first.stop()

        report.heading("\(processes) processes of one program, one command")
        report.table([
            ["", "seconds", "processes a second", "peak MB"],
            row("apply --all", apply, processes), row("revert --all", revert, processes),
        ])
    }

    private static func row(_ name: String, _ run: Run, _ processes: Int) -> [String] {
        [
            name, run.seconds.fixed(2), (Double(processes) / run.seconds).fixed(0),
            (Double(run.peakMemory) / 1e6).fixed(0),
        ]
    }

    /// Waits until every process has said so.
    private static func expect(
        _ answer: Character, of processes: Int, in page: borrowing Scratch
    ) throws {
        for _ in 0..<1200 {
            let said = page.text
            if said.count == processes, said.allSatisfy({ $0 == answer }) { return }
            usleep(50000)
        }
        throw BenchError("not every one of \(processes) processes answers '\(answer)'")
    }
}
