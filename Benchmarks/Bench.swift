import ArgumentParser
import Glibc

/// `make bench`: the figures of the tool, measured and set beside what they are
/// to be.
@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure hotpatch on this machine.")

    @Flag(help: "Few repetitions: to see that everything works.")
    var quick = false

    @Option(help: "The tool to measure. Default: beside the bench.")
    var hotpatch: String?

    @Option(help: "The ELF file for list-symbols. Default: the largest of the machine.")
    var file: String?

    @Option(help: "How many threads of the victim read the clock; the others sleep.")
    var runners = 2

    @Option(
        help: "Seconds to wait before each switch for other programs to leave the processors alone."
    )
    var patience = 1.0

    @Option(help: "Only these parts: stall, call, list, start, crowd, exec, endurance.")
    var only: [Part] = Part.allCases

    enum Part: String, CaseIterable, ExpressibleByArgument {
        case start, stall, call, list, fixes, crowd, exec, endurance
    }

    func run() throws {
        let tools = try makeTools()
        let report = Report()
        report.heading("hotpatch on this machine")
        for line in Machine.description { report.line(line) }
        for part in Part.allCases where only.contains(part) {
            try measure(part, tools: tools, report: report)
        }
        report.heading(
            report.missed.isEmpty
                ? "All figures reached."
                : "Missed: \(report.missed.joined(separator: "; "))")
    }

    private func measure(_ part: Part, tools: Tools, report: Report) throws {
        switch part {
        case .start:
            try CommandMeasurement.startUp(runs: quick ? 5 : 50, tools: tools, report: report)
        case .stall:
            let rows = try (quick ? [1, 10] : [1, 10, 100, 1000]).map { threads in
                try StallMeasurement(
                    threads: threads, runners: runners, pairs: quick ? 5 : 40, patience: patience,
                    tools: tools, report: report)
            }
            StallMeasurement.show(rows, report: report)
            let sleepers = try (quick ? [10] : [10, 100, 1000]).map { threads in
                try SleeperMeasurement(
                    threads: threads, pairs: quick ? 5 : 40, tools: tools, report: report)
            }
            SleeperMeasurement.show(sleepers, report: report)
        case .call:
            try CallMeasurement.run(seconds: quick ? 0.2 : 2, tools: tools, report: report)
        case .list:
            let files = try file.map { [try ELFFile(path: $0)] } ?? ELFFile.candidates()
            for file in files {
                try CommandMeasurement.listSymbols(
                    file: file, runs: quick ? 2 : 6, tools: tools, report: report)
            }
        case .fixes:
            try FixMeasurement.run(runs: quick ? 1 : 5, tools: tools, report: report)
        case .crowd:
            try CrowdMeasurement.run(processes: quick ? 50 : 1000, tools: tools, report: report)
        case .exec:
            try RunMeasurement.run(rounds: quick ? 10 : 200, tools: tools, report: report)
            try ExecMeasurement.run(rounds: quick ? 2 : 20, tools: tools, report: report)
        case .endurance:
            try EnduranceMeasurement.run(pairs: quick ? 20 : 1000, tools: tools, report: report)
        }
    }

    /// The bench is `<package>/.build/<triple>/release/bench`.
    private func makeTools() throws -> Tools {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
        guard length > 0 else { throw BenchError(errno: errno, "finding the bench's own path") }
        let own = String(
            decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let parts = own.split(separator: "/", omittingEmptySubsequences: false)
        guard let build = parts.lastIndex(of: ".build") else {
            throw BenchError(
                "the bench is to be run where the package manager built it, not \(own)")
        }
        let package = parts[..<build].joined(separator: "/")
        let scratch = package + "/.build/bench"
        unsafe mkdir(scratch, 0o755)
        let hotpatch = hotpatch ?? parts.dropLast().joined(separator: "/") + "/hotpatch"
        // What fixes are built again with.
        unsafe setenv("HOTPATCH", hotpatch, 1)
        // What is measured here is none of the machine's history.
        unsafe setenv("HOTPATCH_STATE_DIR", scratch + "/state", 1)
        return Tools(
            hotpatch: hotpatch, sources: package + "/Benchmarks",
            sample: package + "/samples/stationd",
            corpus: package + "/.build/corpus", scratch: scratch)
    }
}
