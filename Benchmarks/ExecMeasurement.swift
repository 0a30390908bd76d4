import Glibc

/// What the service costs whoever starts a program: one that it patches, one that it
/// has nothing to do with, and both without it.
enum ExecMeasurement {
    /// Microseconds from before the start to the program's end.
    private struct Times {
        var patched = Sample()
        var unrelated = Sample()
    }

    static func run(rounds: Int, tools: Tools, report: Report) throws {
        guard geteuid() == 0 else {
            report.line("The service needs root; the part exec is left out.")
            return
        }
        let folder = tools.scratch + "/exec"
        let place = try Place(folder)
        let sources = tools.sources + "/victims/"
        let compile = ["cc", "-std=gnu17", "-O2", "-g"]
        _ = try Run(compile + ["-o", folder + "/starts", sources + "starts.c"])
        // Two builds of one source: only one of them has a patch.
        let programs = [folder + "/patched", folder + "/unrelated"]
        for program in programs {
            let id = "-Wl,--build-id=0x" + place.newBuildID()
            _ = try Run(compile + [id, "-o", program, sources + "started.c"])
        }
        let patch = folder + "/fix.hpatch"
        let fix = sources + "started-fix.c"
        _ = try Run([tools.hotpatch, "build", "--base", programs[0], "-o", patch, fix])
        _ = try Run([tools.hotpatch, "install", patch, "--path", programs[0], "--no-apply"])

        var with = Times()
        var without = Times()
        for round in 0..<rounds {
            report.progress("starts with the service and without, \(round) of \(rounds)")
            let service = try place.startService(tools)
            try measure(programs, answers: 2, folder, into: &with)
            _ = try service.stop()
            try measure(programs, answers: 1, folder, into: &without)
        }
        show(with, without, report)
    }

    /// One program after the other: when a patched one has started, the service still
    /// writes its log for a while, and the next start would be measured beside that.
    ///
    /// - Parameter answers: what the program that has a patch is to end with.
    private static func measure(
        _ programs: [String], answers: Int, _ folder: String, into times: inout Times
    ) throws {
        for (number, program) in programs.enumerated().reversed() {
            let output = try Run([folder + "/starts", "50", program]).output
            for line in output.split(separator: "\n") {
                let words = line.split(separator: " ").compactMap { Int($0) }
                guard words.count == 3, words[2] == (number == 0 ? answers : 1) else {
                    throw BenchError("a start that went wrong: \(line)")
                }
                let time = Double(words[1]) / 1000
                if number == 0 { times.patched.add(time) } else { times.unrelated.add(time) }
            }
        }
    }

    private static func show(_ with: Times, _ without: Times, _ report: Report) {
        report.heading(
            "From before a program's start to its end, µs: median (p90), "
                + "of \(with.patched.count) each")
        func row(_ name: String, _ with: Sample, _ without: Sample) -> [String] {
            [
                name, "\(without.median.fixed(0)) (\(without.p90.fixed(0)))",
                "\(with.median.fixed(0)) (\(with.p90.fixed(0)))",
                "\((with.median - without.median).fixed(0))",
            ]
        }
        report.table([
            ["", "without the service", "with it", "added"],
            row("a program that it patches", with.patched, without.patched),
            row("another program", with.unrelated, without.unrelated),
        ])
        let added = with.patched.median - without.patched.median
        report.target(
            "added to the start of a patched program", "\(added.fixed(0)) µs", atMost: "300 µs",
            holds: added <= 300)
        // Medians of the same without any difference differ by as much.
        let noise = without.unrelated.median / 20
        let other = with.unrelated.median - without.unrelated.median
        report.target(
            "added to the start of another program", "\(other.fixed(0)) µs",
            atMost: "5 % (\(noise.fixed(0)) µs)", holds: other <= noise)
    }
}

/// A machine of its own for the service.
private struct Place {
    let folder: String

    init(_ folder: String) throws {
        self.folder = folder
        _ = try Run(["rm", "-rf", folder])
        _ = try Run(["mkdir", "-p", folder + "/run", folder + "/config"])
        for (name, part) in [
            ("HOTPATCH_STATE_DIR", "/state"), ("HOTPATCH_RUN_DIR", "/run"),
            ("HOTPATCH_CONFIG_DIR", "/config"), ("HOTPATCH_JOURNAL_SOCKET", "/no-journal"),
        ] {
            unsafe setenv(name, folder + part, 1)
        }
    }

    func newBuildID() -> String {
        (0..<40).map { _ in String(Int.random(in: 0..<16), radix: 16) }.joined()
    }

    /// Starts the service, and waits until it serves.
    func startService(_ tools: Tools) throws -> Child {
        let record = folder + "/run/watch.json"
        unsafe unlink(record)
        let service = try Child(service: [tools.hotpatch, "watch"])
        for _ in 0..<2000 {
            if unsafe access(record, F_OK) == 0 { return service }
            usleep(5000)
        }
        throw BenchError("the service does not start; see what 'hotpatch watch' says")
    }
}
