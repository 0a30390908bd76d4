import Glibc

/// What it takes to start a program by `hotpatch run`.
enum RunMeasurement {
    static func run(rounds: Int, tools: Tools, report: Report) throws {
        let folder = tools.scratch + "/run"
        _ = try Run(["rm", "-rf", folder])
        _ = try Run(["mkdir", "-p", folder])
        let program = folder + "/started"
        let sources = tools.sources + "/victims/started"
        let patch = folder + "/fix.hpatch"
        _ = try Run(["cc", "-std=gnu17", "-O2", "-g", "-o", program, sources + ".c"])
        _ = try Run([tools.hotpatch, "build", "--base", program, "-o", patch, sources + "-fix.c"])

        let commands: [(name: String, arguments: [String], code: Int32)] = [
            ("the program itself", [program], 1),
            ("hotpatch --version", [tools.hotpatch, "--version"], 0),
            (
                "hotpatch run, with a patch",
                [tools.hotpatch, "run", "--patch", patch, "--", program], 2
            ),
        ]
        var samples = commands.map { _ in Sample() }
        for round in 0..<rounds {
            report.progress("starts by 'hotpatch run', \(round) of \(rounds)")
            for (index, command) in commands.enumerated() {
                samples[index].add(try milliseconds(command.arguments, code: command.code))
            }
        }
        report.heading(
            "From before a start to the program's end, ms: median (p90), of \(rounds) each")
        report.table(
            zip(commands, samples).map { command, sample in
                [command.name, "\(sample.median.fixed(1)) (\(sample.p90.fixed(1)))"]
            })
        let added = samples[2].median - samples[1].median - samples[0].median
        report.target(
            "what 'run' adds to the tool's own start-up", "\(added.fixed(1)) ms", atMost: "10 ms",
            holds: added <= 10)
    }

    /// Of one run, which is to end with `code`: the program tells whether it is patched.
    private static func milliseconds(_ arguments: [String], code: Int32) throws -> Double {
        let start = Clock.now
        let outcome = try Child(arguments).wait()
        let end = Clock.now
        guard outcome.exitCode == code else {
            throw BenchError("\(arguments) ended with \(outcome.exitCode), not \(code)")
        }
        return (end - start) * 1000
    }
}
