import Glibc
import SystemPackage
import TestSupport
import Testing

/// What a program notices of having been started by `hotpatch run`, and what becomes of
/// it when the attendant that patches it meets with something.
@Suite(.serialized) struct RunProcessTests {
    /// What a process hands on to the program that it runs.
    private static let look = """
        grep -E '^(Sig(Blk|Ign|Cgt)|ShdPnd|Threads|TracerPid|NSpgid|NSsid|Cap|Seccomp|NoNew)' \
            /proc/$$/status | grep -v NSpgid
        for f in /proc/$$/fd/*; do echo "${f##*/}"; done
        read children < /proc/$$/task/$$/children; echo "children: $children"
        cat /proc/$$/limits
        umask; pwd; env | sort | grep -v '^_='
        """

    @Test(arguments: ["", "trap '' XFSZ HUP CHLD;"])
    func nothing(_ before: String) throws {
        let program = try StartProgram()
        try program.install(program.patch())
        func look(_ prefix: String) throws -> String {
            // sh -c 'exec …', so that both look from a process that was exec'ed by a shell.
            let result = try Command.run(
                "sh", ["-c", "\(before) exec \(prefix) sh -c \"$1\"", "sh", Self.look],
                environment: program.environment)
            #expect(result.code == 0, "\(result.errorOutput)")
            return result.output
        }
        // With a patch, so that there is an attendant.
        let patch = try program.patch(3)
        let tool = try Tool.location.get()
        #expect(
            try look("") == look("'\(tool)' run --or-unpatched --patch '\(patch)' --"))
    }

    /// The program comes later, by an exec of the command.
    private func startWaiting(_ program: StartProgram) throws -> (Victim, attendant: Int32) {
        let victim = try program.start([
            "--patch", program.patch().string, "--until", program.program.string, "--", "sh", "-c",
            "echo waits; read line; exec \(program.program) \"$line\"",
        ])
        #expect(try victim.readLine() == "waits")
        let attendant = try #require(Int32(ProcessFacts(victim).status("TracerPid")))
        try #require(attendant > 0)
        return (victim, attendant)
    }

    /// Whoever took it in takes note of its end in his own time.
    private func waitForEnd(of attendant: Int32) throws {
        try wait(until: "the attendant has ended") {
            kill(attendant, 0) != 0 || (try? ProcessFacts(pid: attendant).state()) == "Z"
        }
    }

    @Test func aCommandThatBecomesTheProgram() throws {
        let program = try StartProgram()
        let (victim, attendant) = try startWaiting(program)
        try victim.send("word")
        #expect(try victim.readLine() == "constructor 2 main 2 [word]")
        #expect(try ProcessFacts(victim).status("TracerPid") == "0")
        try waitForEnd(of: attendant)
    }

    @Test func severalCommandsInBetween() throws {
        let program = try StartProgram()
        try program.expect(
            "constructor 2 main 2 [word]",
            [
                "--patch", program.patch().string, "--until", program.program.string, "--",
                "env", "A=1", "nice", "sh", "-c", "exec \(program.program) word",
            ])
    }

    @Test func aCommandThatDoesNotBecomeIt() throws {
        let program = try StartProgram()
        let result = try program.run([
            "--patch", program.patch().string, "--until", program.program.string, "--", "sh", "-c",
            "exit 5",
        ])
        #expect(result.code == 5)
        let script = try program.folder.write("#!/bin/sh\n", to: "script")
        #expect(try Command.run("chmod", ["+x", script.string]).succeeded)
        let refused = try program.run(["--until", script.string, "true"])
        #expect(refused.code == 64)
        #expect(refused.errorOutput.contains("--until /bin/sh"), "\(refused.errorOutput)")
    }

    /// The kernel lets go of what it traced.
    @Test func theAttendantIsKilled() throws {
        let program = try StartProgram()
        let (victim, attendant) = try startWaiting(program)
        #expect(kill(attendant, SIGKILL) == 0)
        try wait(until: "nobody traces it") { try ProcessFacts(victim).status("TracerPid") == "0" }
        try victim.send("word")
        #expect(try victim.readLine() == "constructor 1 main 1 [word]")
        victim.closeInput()
        #expect(try victim.waitForExit() == .exited(42))
    }

    /// A command that is stopped stays stopped, and goes on when it is told to.
    @Test func jobControl() throws {
        let program = try StartProgram()
        let (victim, _) = try startWaiting(program)
        let facts = ProcessFacts(victim)
        victim.signal(SIGSTOP)
        try wait(until: "it has stopped") { try facts.state() == "t" }
        try victim.send("word")
        // As long as one cares to look.
        for _ in 0..<50 {
            #expect(try facts.state() == "t")
            usleep(1000)
        }
        victim.signal(SIGCONT)
        #expect(try victim.readLine() == "constructor 2 main 2 [word]")
    }

    /// Signals come to the command as ever.
    @Test func aSignalEndsIt() throws {
        let program = try StartProgram()
        let (victim, attendant) = try startWaiting(program)
        victim.signal(SIGTERM)
        #expect(try victim.waitForExit() == .killed(signal: SIGTERM))
        try waitForEnd(of: attendant)
    }

    /// The attendant holds nothing of the program open but standard error.
    @Test func whoReadsItsOutputSeesItsEnd() throws {
        let program = try StartProgram()
        let (victim, attendant) = try startWaiting(program)
        let files = try Command.run(
            "sh", ["-c", "cd /proc/\(attendant)/fd && echo * && readlink 0 1"])
        #expect(files.output == "0 1 2\n/dev/null\n/dev/null\n")
        victim.kill()
    }
}
