import ArgumentParser
import Logging

/// `--verbose`, for commands that touch processes.
struct DiagnosticOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Tell on standard error what is being done.")
    var verbose = false
}

/// A command that logs what it does.
protocol Verbose {
    var diagnostics: DiagnosticOptions { get }
}

/// The log of the command line: lines on standard error, so that they never mix
/// with output. A service logs elsewhere.
enum DiagnosticLog {
    static func start(verbose: Bool) {
        LoggingSystem.bootstrap { label in
            StandardErrorLog(label: label, logLevel: verbose ? .debug : .warning)
        }
    }
}

private struct StandardErrorLog: LogHandler {
    let label: String
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let facts = metadata.merging(event.metadata ?? [:]) { _, new in new }
            .sorted { $0.key < $1.key }
            .map { " \($0.key)=\($0.value)" }
            .joined()
        StandardError.write("hotpatch: \(event.level): \(event.message)\(facts)\n")
    }
}
