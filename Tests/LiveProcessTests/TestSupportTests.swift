import Glibc
import TestSupport
import Testing

@Suite struct TestSupportTests {
    @Test func aVictimAnswersAndEnds() throws {
        let victim = try Victim(Fixture.compile("echo"))
        #expect(try victim.ask("hello") == "\(victim.pid) hello")
        victim.closeInput()
        #expect(try victim.waitForExit() == .exited(7))
        #expect(!victim.isRunning)
    }

    @Test func aVictimDiesWithItsValue() throws {
        let pid = try Victim(Fixture.compile("echo")).pid
        #expect(kill(pid, 0) == -1 && errno == ESRCH)
    }

    @Test func commandsAreCaptured() throws {
        let command = try Command.run(
            "sh", ["-c", "echo out; echo $X >&2; exit 3"], environment: ["X": "err"])
        #expect(command.output == "out\n")
        #expect(command.errorOutput == "err\n")
        #expect(command.exit == .exited(3))
    }

    @Test func aFixtureThatDoesNotCompileSaysWhy() {
        #expect(throws: TestSupportError.self) { try Fixture.compile("no-such-fixture") }
    }
}
