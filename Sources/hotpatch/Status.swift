import ArgumentParser
import Glibc
import HotpatchKit
import SystemPackage

/// How `status` prints: as every command, or for Prometheus.
enum StatusFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, tsv, prometheus
}

struct Status: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Tell which patches are applied where, and which should be.",
        discussion: """
            What is applied is read from the processes alone, whoever applied it and wherever \
            the patch files are now. What should be applied is what is installed. Without a \
            target, all processes are looked at.

            With --format prometheus, what it prints is for node_exporter's textfile collector.
            """)

    @OptionGroup var targets: TargetSelection
    @Option(
        help: """
            How to print: 'table' for people, 'json' and 'tsv' for programs, 'prometheus' for a \
            textfile collector.
            """)
    var format: StatusFormat = .table
    @OptionGroup var state: StateOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func validate() throws {
        if format == .prometheus, !isSurvey {
            throw ValidationError(
                "Metrics are of the whole machine: leave out --pid, --exe and --all.")
        }
    }

    private var isSurvey: Bool { targets.pids.isEmpty && targets.exe == nil && !targets.all }

    func run() throws {
        var report = StatusReport(state.locations)
        report.isSurvey = isSurvey
        if isSurvey {
            try report.addAll()
        } else {
            let processes = try targets.find(
                all: Switchover.patchedProcesses, none: "no process has a patch")
            for (_, found) in processes { try found.get().requireSupportedProgram() }
            try report.add(processes.map { try $0.1.get() })
        }
        switch format {
        case .json: try StandardOutput.write(json: report.json, command: "status")
        case .table: try StandardOutput.write(report.text(width: StandardOutput.width))
        case .tsv:
            try StandardOutput.write(
                report.table(isForPrograms: true).text(format: .tsv, width: nil))
        case .prometheus: try StandardOutput.write(report.metrics)
        }
        report.warn()
    }
}
