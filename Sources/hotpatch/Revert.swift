import ArgumentParser
import HotpatchKit
import SystemPackage

struct Revert: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Switch a patch out again.",
        discussion: """
            'revert NAME --pid N' takes one patch out, 'revert --all --pid N' every patch of the \
            process, 'revert NAME --all' one patch wherever it is applied. The patch's code stays \
            mapped, since pointers to it may be anywhere; it is used again when the same patch is \
            applied again.
            """)

    @Argument(help: ArgumentHelp("The patch's name, as 'status' shows it.", valueName: "NAME"))
    var name: String?

    @Option(
        name: .customLong("pid"), parsing: .upToNextOption,
        help: ArgumentHelp("These processes. Put NAME before --pid.", valueName: "pid"))
    var pids: [Int32] = []

    @Option(help: ArgumentHelp("Every process that runs this program.", valueName: "path"))
    var exe: String?

    @Flag(help: "Without NAME: every patch. With NAME: every process that has it.")
    var all = false

    @OptionGroup var switching: SwitchArguments
    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func validate() throws {
        if name == nil && !all {
            throw ValidationError("Say which patch: NAME, or --all for every patch.")
        }
        if pids.isEmpty && exe == nil && !(all && name != nil) {
            throw ValidationError("Say which processes: --pid N, --exe PATH, or NAME with --all.")
        }
        if all && name != nil && (!pids.isEmpty || exe != nil) {
            throw ValidationError("NAME with --all means every process; leave one of them out.")
        }
        try selection.validate()
    }

    private var selection: TargetSelection {
        var selection = TargetSelection()
        selection.pids = pids
        selection.exe = exe
        selection.all = all && name != nil
        return selection
    }

    func run() throws {
        let work = AuditedWork(
            trail: AuditTrail(state.locations), action: .revert,
            subjects: name.map { [.init(name: $0)] } ?? [])
        let results = try selection.each(
            audit: work,
            all: { () throws(Errno) in try Switchover.processes(patchedWith: name) },
            none: "no process has a patch called '\(name ?? "")' applied"
        ) { process throws(SwitchoverError) in
            guard let name else {
                return try Switchover.revertAll(in: process, options: switching.options)
            }
            return [try Switchover.revert(name, in: process, options: switching.options)]
        }
        if results.isEmpty && output.format == .table {
            return try StandardOutput.write("No patch is applied; nothing to do.\n")
        }
        try results.report(command: "revert", format: output.format)
    }
}
