import JSONText
import SystemPackage
import TestSupport
import Testing

/// A thread is inside the function that is to be replaced.
@Suite struct BusyTests {
    private struct Scene {
        let victim: Victim
        let patch: FilePath
        var target: [String] { ["--pid", "\(victim.pid)"] }

        init(_ arguments: [String] = [], of program: FilePath? = nil) throws {
            let program = try program ?? Program.compile("busy")
            patch = try Patch.build("busy-fix", for: program)
            victim = try startVictim(program, arguments)
        }

        /// Brings the second thread into the function, and returns its id.
        func enter(_ how: String) throws -> String {
            try victim.send(how)
            return try victim.readLine(startingWith: "entered ")
        }

        /// A short wait in vain names the thread and the function, and changes nothing.
        func expectBusy(_ thread: String) throws {
            let before = try ProcessFacts(victim).code()
            for command in ["check", "apply"] {
                try Tool.expect(
                    3, [command, patch.string, "--timeout", "0.2"] + target,
                    says: ["thread \(thread) ('lingerer')", "'linger'", "--timeout"])
            }
            #expect(try ProcessFacts(victim).code() == before)
        }
    }

    @Test(arguments: ["sleep", "spin", "untabled"]) func aBusyThreadIsNamed(_ how: String) throws {
        let scene = try Scene()
        let thread = try scene.enter(how)
        try scene.expectBusy(thread)
        #expect(try scene.victim.ask("leave") == "old")
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
    }

    /// Its signal stack lies elsewhere, or within its own stack.
    @Test(arguments: ["sleep", "spin"], ["elsewhere", "inner"])
    func aSignalHandlerOnAnotherStackHidesNothing(_ how: String, _ place: String) throws {
        let scene = try Scene([place])
        let thread = try scene.enter(how)
        #expect(try scene.victim.ask("interrupt") == "interrupted")
        try scene.expectBusy(thread)
        #expect(try scene.victim.ask("resume") == "resumed")
        #expect(try scene.victim.ask("leave") == "old")
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
    }

    /// A probe at the return of what the function calls has put an address of its own in
    /// the place of the one that leads back.
    @Test(.enabled(if: Probe.areAvailable, "uprobes take root"))
    func aReturnProbeHidesNothing() throws {
        let directory = try TemporaryDirectory()
        let program = try Program.copy(Program.compile("busy"), to: directory)
        let scene = try Scene(of: program)
        let probe = try Probe(.atReturn, of: "untabled_read", in: program)
        let thread = try scene.enter("untabled")
        for command in ["check", "apply"] {
            try Tool.expect(
                3, [command, scene.patch.string, "--timeout", "0.2"] + scene.target,
                says: ["thread \(thread) ('lingerer') is in a call that a probe hides"])
        }
        #expect(try scene.victim.ask("leave") == "old")
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
        try probe.remove()
    }

    @Test func aThreadIsNoProcess() throws {
        let scene = try Scene()
        let thread = try scene.enter("sleep")
        for command in [["apply", scene.patch.string], ["status"], ["revert", "busy-fix"]] {
            try Tool.expect(
                5, command + ["--pid", thread],
                says: ["\(thread) is a thread of process \(scene.victim.pid)"])
        }
        #expect(try scene.victim.ask("leave") == "old")
    }

    @Test func applyWaitsUntilTheThreadLeaves() throws {
        let scene = try Scene()
        _ = try scene.enter("sleep")
        let apply = try Tool.start(
            ["apply", scene.patch.string, "--verbose", "--timeout", "60", "--format", "json"]
                + scene.target)
        try wait(until: "apply has found the thread") {
            try apply.errorOutputSoFar().contains("not yet") || !apply.isRunning
        }
        #expect(try scene.victim.ask("ask") == "old")
        #expect(try scene.victim.ask("leave") == "old")
        let result = try apply.finish()
        try Tool.check(result, 0, ["apply"])
        let target = try #require(
            JSONCursor(try JSONValue(parsing: result.outputBytes, limit: 1 << 20))
                .member("targets").elements().first)
        #expect(try target.member("result").string() == "applied")
        #expect(try target.member("attempts").integer() > 1)
        #expect(try scene.victim.ask("ask") == "new")
    }

    @Test func activeOriginalsCanBeAllowed() throws {
        let scene = try Scene()
        _ = try scene.enter("sleep")
        try Tool.expect(0, ["apply", scene.patch.string, "--allow-active"] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
        #expect(try scene.victim.ask("leave") == "old")
        try Tool.expect(0, ["revert", "busy-fix"] + scene.target)
        #expect(try scene.victim.ask("ask") == "old")
    }

    /// Reverting looks for threads inside too, those in the new code included.
    @Test func revertWaitsAsWell() throws {
        let scene = try Scene()
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        try Tool.expect(0, ["revert", "busy-fix", "--timeout", "5"] + scene.target)
        #expect(try scene.victim.ask("ask") == "old")
    }
}
