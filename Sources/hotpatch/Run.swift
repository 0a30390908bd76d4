import ArgumentParser
import Glibc
import HotpatchKit
import SystemPackage

struct Run: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Start a program with its patches in.",
        discussion: """
            COMMAND becomes what this tool is: the same process, with the same number, terminal and \
            open files. Before its first instruction the installed patches for it and for the \
            libraries that it loads at its start are put in, and those that are named with --patch.

            Where one of them cannot be put in, COMMAND does not start, unless --or-unpatched is \
            given. What COMMAND runs in its turn, and libraries that it loads later, are not \
            patched; --until is for commands that become another one (env, nice, sh -c 'exec …').
            """)

    @Option(
        name: .customLong("patch"),
        help: ArgumentHelp(
            "A patch to be put in beside the installed ones; may be given several times.",
            valueName: "FIX.hpatch"),
        completion: .file(extensions: ["hpatch"]))
    var patches: [String] = []

    @Flag(help: "Start the program without the patches that cannot be put in.")
    var orUnpatched = false

    @Option(
        help: ArgumentHelp(
            """
            COMMAND is not the program that is meant, but becomes it: wait until its process runs \
            PROGRAM, and patch that.
            """, valueName: "PROGRAM"), completion: .file())
    var until: String?

    @Flag(
        help: """
            Patch a program that runs under a seccomp filter. If hotpatch is killed while it works, \
            such a filter may kill the program.
            """)
    var allowSeccomp = false

    @OptionGroup var state: StateOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    @Argument(
        parsing: .captureForPassthrough,
        help: ArgumentHelp(
            "The command and its arguments, best behind '--'.", valueName: "COMMAND"))
    var command: [String]

    func validate() throws {
        guard let first = command.first else { return }
        // What stands before the command is for this tool.
        if ["--help", "-h"].contains(first) { throw CleanExit.helpRequest(self) }
        if first == "--" {
            if command.count == 1 { throw ValidationError("Say which command to run behind '--'.") }
        } else if first.hasPrefix("-") {
            throw ValidationError(
                "'run' has no option '\(first)'; a command of that name comes behind '--'.")
        }
    }

    func run() throws {
        let words = CommandWords(count: command.count - (command.first == "--" ? 1 : 0))
        let file = try find(words.command)
        do throws(Failure) {
            try prepare(file)
        } catch {
            guard orUnpatched else { throw error }
            StandardError.write(
                "hotpatch: warning: '\(file.shownPath)' starts unpatched: "
                    + "\(error.message.printable) [\(error.code)]\n")
        }
        throw words.execute(file)
    }

    private func find(_ command: FilePath) throws(Failure) -> RunnableFile {
        do throws(RunnableFileError) {
            return try RunnableFile(command: command, folders: Locations.variable("PATH"))
        } catch {
            throw Failure(error)
        }
    }

    /// Leaves a process behind that patches this one when it runs the program, where
    /// there is anything to patch.
    private func prepare(_ file: RunnableFile) throws(Failure) {
        let locations = state.locations
        if let reason = KillSwitch.reason(configuration: locations.config) {
            StandardError.write(
                "hotpatch: warning: '\(file.shownPath)' starts unpatched: "
                    + "\(reason.printableLine) switches it off\n")
            return
        }
        let program = try until.map { path throws(Failure) in
            try programMeant(FilePath(path))
        }
        let patches = try RunPatches(
            named: patches.map { FilePath($0) }, for: program ?? file, in: locations)
        guard !patches.isEmpty else { return patches.tellNothingIsFor(program ?? file) }
        let trail = AuditTrail(locations)
        let attendance = RunAttendance(
            patches: patches, program: program ?? file, isAwaited: program != nil,
            startsUnpatched: orUnpatched, allowsSeccomp: allowSeccomp, trail: trail)
        do throws(Failure) {
            try beTraced(file, by: attendance)
        } catch {
            AuditedWork(
                trail: trail, action: .apply, subjects: patches.files.map { .init($0) }
            ).note(error)
            trail.finish()
            throw error
        }
    }

    private func beTraced(_ file: RunnableFile, by attendance: RunAttendance) throws(Failure) {
        if let rights = file.rightsLostToTracing {
            throw Failure(
                status: .notPermitted, code: "run.loses-rights",
                message: "'\(file.program)' runs with rights beyond yours, \(rights), which the "
                    + "kernel withholds from a program that is traced by who lacks CAP_SYS_PTRACE, "
                    + "as it is to be patched at its start; run this as root")
        }
        do throws(LiveProcessError) {
            try Attendant.start { attendance.attend($0) }
        } catch {
            throw Failure(error)
        }
    }

    private func programMeant(_ path: FilePath) throws(Failure) -> RunnableFile {
        let file = try find(path)
        guard file.program == file.path else {
            throw Failure(
                status: .usage, code: "run.script",
                message: "--until takes a program, and '\(file.path)' is a script; name what runs "
                    + "it: --until \(file.program)")
        }
        return file
    }
}

/// The command at the end of this tool's own command line, byte for byte: not all
/// that may stand there is UTF-8.
private struct CommandWords {
    private let first: Int

    init(count: Int) { first = Int(CommandLine.argc) - count }

    var command: FilePath {
        unsafe CommandLine.unsafeArgv[first].map { unsafe FilePath(platformString: $0) } ?? ""
    }

    /// Runs it in place of this tool. Returns why that cannot be.
    func execute(_ file: RunnableFile) -> Failure {
        InheritedSignals.restore()
        // It also runs what has no first line that says how: as a script of sh(1).
        _ = unsafe file.path.withPlatformString {
            unsafe execvp($0, CommandLine.unsafeArgv + first)
        }
        return Failure(RunnableFileError(Errno(rawValue: errno), of: file))
    }
}

/// How this tool was started to treat signals that it treats otherwise.
enum InheritedSignals {
    nonisolated(unsafe) private static var fileSize: sighandler_t? = SIG_DFL

    /// A file that may not grow any more is an error like a full disk.
    static func change() { unsafe fileSize = signal(SIGXFSZ, SIG_IGN) }

    static func restore() { _ = unsafe signal(SIGXFSZ, fileSize) }
}

extension RunnableFile {
    /// For people: a path may hold anything.
    var shownPath: String { path.string.printableLine }
}
