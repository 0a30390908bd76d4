import ArgumentParser
import HotpatchKit

struct Apply: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Switch a patch in, in running processes.",
        discussion: """
            The process runs on while the patch is mapped and linked; its threads stand still only \
            while it is proved that none of them is in the code that is replaced, and the jumps are \
            written. A patch that is applied already is left as it is.

            A patch may stand on another one that replaces the same functions; 'status' tells which is \
            on top. A patch that was built with --cumulative takes the place of all others.
            """)

    @OptionGroup var arguments: ApplyArguments
    var diagnostics: DiagnosticOptions { arguments.diagnostics }

    func run() throws {
        try arguments.run("apply", audit: .apply) {
            files, process, options throws(SwitchoverError) in
            try Switchover.apply(files, to: process, options: options)
        }
    }
}

struct Check: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Tell whether a patch could be applied, and if not, why.",
        discussion: """
            A dry run: everything that 'apply' does but for mapping the patch and writing the jumps. \
            The threads are stopped once, to see which of them are in the code that would be replaced.
            """)

    @OptionGroup var arguments: ApplyArguments
    var diagnostics: DiagnosticOptions { arguments.diagnostics }

    func run() throws {
        try arguments.run("check", audit: nil) { files, process, options throws(SwitchoverError) in
            try Switchover.check(files, in: process, options: options)
        }
    }
}

/// Which patches go into which processes, and how.
struct ApplyArguments: ParsableArguments {
    @OptionGroup var patches: PatchArguments
    @OptionGroup var targets: TargetSelection
    @OptionGroup var switching: SwitchArguments

    @Flag(
        help: """
            Give back the room of patches that are out and that nothing can point to. Not for \
            programs whose signal handlers switch between threads of their own making.
            """)
    var reuseRoom = false

    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func validate() throws { try targets.requireChoice() }

    /// Does `action` to every process that is meant, and reports what came of it.
    func run(
        _ command: String, audit: AuditEvent.Action?,
        _ action:
            @Sendable ([PatchFile], TargetProcess, SwitchOptions) throws(SwitchoverError)
            -> [SwitchReport]
    ) throws {
        let files = try patches.read()
        var chosen = switching.options
        chosen.reusesRooms = reuseRoom
        let options = chosen
        let work = audit.map {
            AuditedWork(
                trail: AuditTrail(state.locations), action: $0,
                subjects: files.map(AuditedWork.Subject.init))
        }
        let results = try targets.each(of: files, audit: work) { process throws(SwitchoverError) in
            try action(files, process, options)
        }
        try results.report(command: command, format: output.format)
    }
}
