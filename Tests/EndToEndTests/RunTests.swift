import Glibc
import JSONText
import SystemPackage
import TestSupport
import Testing

/// `hotpatch run`: the tool becomes the program, patched from its first constructor on.
@Suite(.serialized) struct RunTests {
    @Test(arguments: [[], ["-no-pie"], ["-static"], ["-static-pie"]])
    func aPatchThatIsNamed(_ flags: [String]) throws {
        let program = try StartProgram(flags: flags)
        try program.expect(
            "constructor 2 main 2 [one] [two words] [--patch]",
            [
                "--patch", program.patch().string, "--", program.program.string, "one",
                "two words", "--patch",
            ])
    }

    /// Of the program, of its library, and one that needs the library, in their order;
    /// then the one that is named.
    @Test func whatIsInstalled() throws {
        let program = try StartProgram(withLibrary: true)
        try program.install(program.importingPatch(), program.libraryPatch())
        try program.expect("constructor 2 main 2 library 2 2", [program.program.string])
        try program.expect(
            "constructor 3 main 3 library 2 2",
            ["--patch", program.patch(3).string, program.program.string])
        let log = try Command.run(
            Tool.location.get().string, ["log", "--format", "json"],
            environment: program.environment)
        for name in ["importing", "library", "answer-3"] {
            #expect(log.output.contains("\"\(name)\""), "\(log.output)")
        }
        #expect(log.output.contains("\"\(program.program)\""), "\(log.output)")
    }

    /// Installed for other programs only, or nothing at all.
    @Test func nothingIsForIt() throws {
        let other = try StartProgram(flags: ["-O1"])
        let result = try other.run(["--", "sh", "-c", "echo said; exit 7"])
        #expect(result.code == 7)
        #expect(result.output == "said\n")
        #expect(result.errorOutput.contains("no installed patch is for"), "\(result.errorOutput)")

        try other.install(other.patch())
        let program = try StartProgram()
        let victim = try Victim(
            Tool.location.get(), ["run", program.program.string], environment: other.environment)
        #expect(try victim.readLine() == "constructor 1 main 1")
    }

    /// Hundreds of times, eight at a time: patched every time, in every place.
    @Test(arguments: ["fork", "vfork", "spawn", "thread"])
    func againAndAgain(_ way: String) throws {
        let program = try StartProgram("count", withLibrary: true)
        try program.install(program.importingPatch(), program.libraryPatch())
        let starts = try Fixture.compile(
            "startup/starts", flags: ["-O2", "-pthread", "-Wall", "-Werror"], output: "starts")
        let times = 75
        let result = try Command.run(
            starts.string,
            [way, "\(times)", "8", Tool.location.get().string, "run", program.program.string],
            environment: program.environment)
        #expect(result.output == "\(times) times 4\n", "\(result.errorOutput)")
    }

    @Test func aScriptAndAName() throws {
        let program = try StartProgram()
        let patch = try program.patch().string
        let script = try program.folder.write(
            "#! \(program.program)  -x \n", to: "script")
        #expect(try Command.run("chmod", ["+x", script.string]).succeeded)
        try program.expect(
            "constructor 2 main 2 [-x] [\(script)] [word]",
            ["--patch", patch, "--", script.string, "word"])
        let found = try program.run(
            ["--patch", patch, "program"],
            environment: ["PATH": "/nonexistent:\(program.folder.path):/usr/bin:/bin"])
        #expect(found.code == 42)
        #expect(found.output == "constructor 2 main 2\n")
    }

    // MARK: What cannot be put in

    @Test func aPatchOfAnotherProgram() throws {
        let other = try StartProgram(flags: ["-O1"])
        let program = try StartProgram(withLibrary: true)
        let patch = try other.patch().string
        let refused = try program.run(["--patch", patch, "--", program.program.string])
        #expect(refused.code == 2)
        #expect(refused.output.isEmpty)
        #expect(refused.errorOutput.contains("[start.base-not-mapped]"), "\(refused.errorOutput)")
        #expect(refused.errorOutput.contains("was not started"), "\(refused.errorOutput)")
        let log = try Command.run(
            Tool.location.get().string, ["log"], environment: program.environment)
        #expect(log.output.contains("refused"), "\(log.output)")

        try program.install(program.patch())
        let warned = try program.run(
            ["--or-unpatched", "--patch", patch, "--", program.program.string])
        #expect(warned.code == 42)
        #expect(warned.output == "constructor 2 main 2 library 1 1\n")
        #expect(warned.errorOutput.contains("runs without it"), "\(warned.errorOutput)")
    }

    @Test func aStoreThatIsDamaged() throws {
        let program = try StartProgram()
        try program.install(program.patch())
        try program.state.appending("series.json").write(Array("{".utf8))
        let refused = try program.run([program.program.string])
        #expect(refused.code == 1)
        #expect(refused.output.isEmpty)
        #expect(refused.errorOutput.contains("[store.damaged]"), "\(refused.errorOutput)")
        let warned = try program.run(["--or-unpatched", program.program.string])
        #expect(warned.code == 42)
        #expect(warned.output == "constructor 1 main 1\n")
        #expect(warned.errorOutput.contains("starts unpatched"), "\(warned.errorOutput)")
    }

    /// Where it is installed for another program, it is only told.
    @Test func aPatchThatIsDamaged() throws {
        let program = try StartProgram()
        try program.install(program.patch())
        let broken = try Command.run(
            "sh", ["-c", "for f in \(program.state)/patches/*; do echo x > \"$f\"; done"])
        #expect(broken.succeeded)
        let refused = try program.run([program.program.string])
        #expect(refused.code == 1)
        #expect(refused.errorOutput.contains("'answer-2'"), "\(refused.errorOutput)")
        let other = try program.run(["true"])
        #expect(other.code == 0)
        #expect(other.errorOutput.contains("warning: the installed patch 'answer-2' is skipped"))
    }

    @Test func theKillSwitch() throws {
        let program = try StartProgram()
        try program.install(program.patch())
        #expect(
            try Command.run("mkdir", ["-p", program.config.appending("disabled").string]).succeeded)
        let result = try program.run([program.program.string])
        #expect(result.code == 42)
        #expect(result.output == "constructor 1 main 1\n")
        #expect(result.errorOutput.contains("switches it off"), "\(result.errorOutput)")
    }

    /// A traced program would not get the rights of its file.
    @Test(.enabled(if: geteuid() == 0))
    func aProgramWithRightsOfItsOwn() throws {
        let program = try StartProgram()
        let patch = try program.patch().string
        for command in [
            ["chown", "daemon", program.program.string],
            ["chmod", "4755", program.program.string],
            ["chmod", "-R", "a+rX", program.folder.path.string],
        ] {
            #expect(try Command.run(command[0], Array(command.dropFirst())).succeeded)
        }
        func run(_ arguments: [String]) throws -> Command {
            try Command.run(
                "setpriv",
                ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
                    + [Tool.location.get().string, "run", "--patch", patch] + arguments,
                environment: program.environment)
        }
        let refused = try run([program.program.string])
        #expect(refused.code == 6)
        #expect(refused.errorOutput.contains("[run.loses-rights]"), "\(refused.errorOutput)")
        #expect(refused.output.isEmpty)
        let warned = try run(["--or-unpatched", program.program.string])
        #expect(warned.output == "constructor 1 main 1\n")
        // Who may trace all programs may start them all, with their rights.
        try program.expect("constructor 2 main 2", ["--patch", patch, program.program.string])
    }

    /// Filters of the tool itself, as of a unit, are those of the program too, and what
    /// they permit is tried beforehand. 9999 is no system call; 319 is memfd_create, 101
    /// ptrace.
    @Test(arguments: [
        (9999, 42, ""), (319, 2, "[process.seccomp]"), (101, 1, "[process.attendant-lost]"),
    ])
    func underAFilter(_ killing: Int, _ code: Int32, _ text: String) throws {
        let program = try StartProgram()
        let filtered = try Fixture.compile(
            "startup/filtered", flags: ["-Wall", "-Werror"], output: "filtered")
        let result = try Command.run(
            filtered.string,
            [
                "\(killing)", Tool.location.get().string, "run", "--patch",
                program.patch().string, program.program.string,
            ], environment: program.environment)
        #expect(result.code == code, "\(result.errorOutput)")
        #expect(result.output == (code == 42 ? "constructor 2 main 2\n" : ""))
        #expect(result.errorOutput.contains(text), "\(result.errorOutput)")
        let log = try Command.run(
            Tool.location.get().string, ["log"], environment: program.environment)
        #expect(log.output.contains(code == 42 ? "applied" : text), "\(log.output)")
    }

    // MARK: Commands that cannot be run

    @Test(arguments: [
        (["nonexistent-command"], 127, "run.not-found"),
        (["--", "/nonexistent/command"], 127, "run.not-found"),
        (["--", ""], 127, "run.not-found"), (["/etc"], 126, "run.directory"),
        (["./"], 126, "'.', which is a directory"),
        (["/etc/passwd"], 126, "run.not-executable"),
        (["--until", "nonexistent-command", "true"], 127, "run.not-found"),
        (["--patch", "/nonexistent.hpatch", "true"], 1, "patch.system"),
        (["--pathc", "x", "--", "true"], 64, "no option '--pathc'"),
        (["--"], 64, "which command"), ([], 64, "Missing expected argument"),
    ])
    func isTold(_ arguments: [String], _ code: Int32, _ text: String) throws {
        let result = try Tool.run(["run"] + arguments)
        #expect(result.code == code)
        #expect(result.output.isEmpty)
        #expect(result.errorOutput.contains(text), "\(result.errorOutput)")
    }

    @Test func aScriptWithoutItsInterpreter() throws {
        let program = try StartProgram()
        let script = try program.folder.write("#!/nonexistent/interpreter\n", to: "script")
        #expect(try Command.run("chmod", ["+x", script.string]).succeeded)
        let result = try program.run(
            ["--or-unpatched", "--patch", program.patch().string, script.string])
        #expect(result.code == 127)
        #expect(result.errorOutput.contains("'/nonexistent/interpreter' is missing"))
    }
}
