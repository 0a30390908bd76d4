import SystemPackage
import TestSupport
import Testing
import TortureEngine

/// A program whose only thread waits in a function that a patch replaces.
final class Scene {
    let directory: TemporaryDirectory
    let victim: Victim
    /// The program's; with files in memory the victim's.
    let pid: Int32
    let remains: Remains
    let patch: FilePath
    /// `apply` to this process.
    let arguments: [String]

    /// The program and its patch, made once.
    private static let made = Result {
        let folder = try TemporaryDirectory.forWholeRun.get().makeDirectory()
        let sources = Fixture.sources.appending("torture")
        let program = folder.appending("entered")
        try Fixture.compile(
            source: sources.appending("entered.c"), to: program, flags: ["-O2", "-g"])
        let patch = folder.appending("entered-fix.hpatch")
        let built = try Command.run(
            BuiltProduct.path("hotpatch").string,
            [
                "build", "--base", program.string, "-o", patch.string,
                sources.appending("entered-fix.c").string,
            ])
        try #require(built.succeeded, Comment(rawValue: built.errorOutput))
        return (program: program, patch: patch)
    }

    /// - Parameter isNameless: whether the program gets no files in memory.
    init(isNameless: Bool = false) throws {
        let made = try Self.made.get()
        directory = try TemporaryDirectory()
        patch = made.patch
        if isNameless {
            let subject = try NamelessVictim(made.program)
            (victim, pid) = (subject.victim, subject.pid)
        } else {
            victim = try Victim(made.program)
            pid = victim.pid
            #expect(try victim.readLine() == "ready")
        }
        remains = try Remains(of: pid)
        arguments = [
            try BuiltProduct.path("hotpatch").string, "apply", patch.string, "--pid",
            "\(pid)",
        ]
    }

    /// Whether the program runs the fix; an error where it runs a part of it.
    func isApplied() throws -> Bool {
        guard try victim.ask("enter") == "inside" else { throw Errno.invalidArgument }
        let version = try victim.ask("leave")
        guard ["1", "2"].contains(version) else { throw TestSupportError("it answers \(version)") }
        return version == "2"
    }

    /// Starts `apply` by way of a shell's script, which gets the command as "$@",
    /// and waits until it has found the thread in the way.
    func startWaiting(
        _ script: String = #"exec "$@""#, options: [String] = []
    ) throws -> RunningCommand {
        if try victim.ask("enter") != "inside" { throw Errno.invalidArgument }
        let log = directory.path.appending("log")
        let command = try RunningCommand(
            "bash",
            ["-c", script + " 2>\(log)", "bash"] + arguments + options
                + ["--verbose", "--timeout", "60"])
        try wait(until: "apply has found the thread") {
            guard command.isRunning else { return true }
            return (try? log.lines().contains { $0.contains("not yet") }) ?? false
        }
        return command
    }

    /// What it wrote to standard error.
    func errors() throws -> String {
        try directory.path.appending("log").lines().joined(separator: "\n")
    }

    func expectUntouched() throws {
        try remains.expectNoTracedThread()
        try remains.expectClean([])
        #expect(try victim.ask("leave") == "1")
    }
}
