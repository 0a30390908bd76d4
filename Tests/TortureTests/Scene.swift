import SystemPackage
import TestSupport
import Testing
import TortureEngine

/// A program whose only thread waits in a function that a patch replaces.
final class Scene {
    let directory: TemporaryDirectory
    let victim: Victim
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

    init() throws {
        let made = try Self.made.get()
        directory = try TemporaryDirectory()
        patch = made.patch
        victim = try Victim(made.program)
        #expect(try victim.readLine() == "ready")
        remains = try Remains(of: victim.pid)
        arguments = [
            try BuiltProduct.path("hotpatch").string, "apply", patch.string, "--pid",
            "\(victim.pid)",
        ]
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
