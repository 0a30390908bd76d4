import ArgumentParser
import Glibc
import HotpatchKit
import Logging

/// The command line: arguments in, text or JSON out, exit codes. Whatever
/// another program could want to know or do lives in `HotpatchKit`.
@main
struct Hotpatch: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hotpatch",
        abstract: "Replace functions of running programs, without restarting them.",
        discussion: """
            A patch is made for one build of a program or library ('build'), \
            looked at ('show', 'check') and switched in and out of running \
            processes ('apply', 'status', 'revert'). The file on disk is never \
            changed.

            Exit codes: 0 done, 1 failed, 2 refused (nothing changed), 3 timed \
            out waiting for busy threads (nothing changed), 4 partly done, \
            5 no such target, 6 not permitted, 64 wrong usage.
            """,
        version: version,
        subcommands: [
            ListSymbols.self, Inspect.self, Build.self, Diff.self, Show.self, Apply.self,
            Check.self, Revert.self, Status.self, Recover.self, Install.self, Uninstall.self,
            Log.self, Watch.self, Run.self, Doctor.self,
        ])

    static let version = "0.1.0"

    static func main() {
        var verbose = false
        InheritedSignals.change()
        do {
            var command = try parseAsRoot(
                Build.flagsAsOptions(Array(CommandLine.arguments.dropFirst())))
            verbose = (command as? any Verbose)?.diagnostics.verbose ?? false
            DiagnosticLog.start(verbose: verbose)
            try command.run()
        } catch let failure as Failure {
            failure.report()
            if let signal = failure.signal { HeldSignals.endProcess(by: signal) }
            exit(with: failure.status)
        } catch let code as ExitCode {
            exit(withError: code)
        } catch {
            if let failure = Failure(of: error) {
                failure.report()
                exit(with: failure.status)
            }
            // What is left comes from the argument parser: help, version, usage.
            exit(withError: error)
        }
    }
}
