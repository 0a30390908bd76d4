import ArgumentParser
import Glibc
import HotpatchKit
import Logging
import SystemPackage

struct Watch: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Keep the installed patches applied, restarts included: the service.",
        discussion: """
            Patches what runs and then waits: the kernel asks before a program with installed \
            patches starts and before such a library is opened, and the program is held until it \
            is patched, before its first instruction. If this process dies or hangs, every program \
            starts unpatched, and is patched when it is back. It ends with SIGTERM, and reads \
            everything anew on SIGHUP.

            '\(KillSwitch.argument)' on the kernel's command line, or a file \
            '\(KillSwitch.fileName)' in the configuration directory, keeps it from doing anything.
            """)

    @Option(
        help: ArgumentHelp(
            """
            Where a program or library with installed patches is, if it was not there when they \
            were installed and is neither running nor in one of the usual folders; may be given \
            several times.
            """, valueName: "ELF"), completion: .file())
    var path: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            How starts are noticed: exec-permission, exec-permission-late or polling. Without it, \
            the best that this kernel allows.
            """, valueName: "mode"))
    var mode: WatchMode?

    @OptionGroup var state: StateOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func validate() throws {
        if mode == .disabled { throw ValidationError("--mode disabled is no way to watch.") }
    }

    func run() throws {
        var log = Logger(label: "hotpatch.watch")
        log.logLevel = diagnostics.verbose ? .debug : .info
        var options = WatchOptions(locations: state.locations, log: log)
        options.paths = path.map { Locations.absolute(FilePath($0)) }
        options.mode = mode
        switch try Watcher.run(options) {
        case .signal(let signal): log.notice("ended by signal \(signal)")
        case .switchedOff(let reason): log.notice("switched off by \(reason)")
        }
        // Threads that did not end in time have nothing more to do.
        Self.exit()
    }
}

extension WatchMode: ExpressibleByArgument {}
