import JSONText
import SystemPackage
import TestSupport
import Testing

/// Who is busy: live frames, what calls have left on the stack, and how both are
/// told.
@Suite struct FramesTests {
    private struct Scene {
        let victim: Victim
        let patch: FilePath
        let thread: String
        var target: [String] { ["--pid", "\(victim.pid)"] }

        /// - Parameter fix: what is applied before the thread goes to where it stays.
        init(_ how: String, after fix: String? = nil) throws {
            let program = try Program.compile("frames")
            patch = try Patch.build("frames-fix", for: program)
            victim = try startVictim(program)
            if let fix {
                let patch = try Patch.build(fix, for: program)
                try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
            }
            try victim.send(how)
            thread = try victim.readLine(startingWith: "entered ")
        }
    }

    @Test func aThreadInTheWayIsToldWithItsBacktrace() throws {
        let scene = try Scene("deep 3")
        let said = try Tool.expect(
            3, ["apply", scene.patch.string, "--timeout", "0"] + scene.target,
            says: ["thread \(scene.thread) ('walker') will return into 'descend'+0x"])
        let frames = said.split(separator: "\n").filter { $0.hasPrefix("    #") }
        let functions = ["read", "wait_at_door", "descend", "descend", "descend", "descend"]
        for (number, (frame, function)) in zip(frames, functions).enumerated() {
            #expect(frame.hasPrefix("    #\(number)  0x") && frame.contains(" in \(function)+0x"))
        }
        #expect(frames.dropFirst(functions.count).first?.contains(" in work+0x") ?? false)
        #expect(!said.contains("not known"))
        #expect(try scene.victim.ask("leave") == "3")
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "-1")
    }

    @Test func theBacktraceIsDataToo() throws {
        let scene = try Scene("deep 2")
        let document = try Tool.json(
            ["check", scene.patch.string, "--timeout", "0"] + scene.target, code: 3)
        let target = try #require(document.member("targets").elements().first)
        let threads = try target.member("busyThreads").elements()
        let thread = try #require(threads.first)
        #expect(threads.count == 1)
        #expect(try thread.member("name").string() == "walker")
        #expect(try thread.member("function").string() == "descend")
        #expect(try thread.member("certain").bool())
        #expect(try !thread.member("neverReturns").bool())
        #expect(try thread.member("backtraceComplete").bool())
        let frames = try thread.member("backtrace").elements()
        #expect(try frames[1].member("function").string() == "wait_at_door")
        #expect(try frames[1].member("object").string().hasSuffix("/frames"))
        #expect(try frames[1].member("kind").string() == "caller")
        #expect(try scene.victim.ask("leave") == "2")
    }

    /// Beyond what is followed, what looks like a return address is one.
    @Test(arguments: [1000, 6000]) func aDeepRecursionIsInTheWay(_ depth: Int) throws {
        let scene = try Scene("deep \(depth)")
        let said = try Tool.expect(
            3, ["apply", scene.patch.string, "--timeout", "0.2"] + scene.target,
            says: ["thread \(scene.thread) ('walker')", "'descend'", " more frames …"])
        #expect(said.contains("frames below are not known") == (depth > 4096))
        #expect(try scene.victim.ask("leave") == "\(depth)")
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "-1")
    }

    @Test(arguments: ["stale", "clock"], [false, true])
    func whatCallsHaveLeftIsNotInTheWay(_ how: String, _ isInterrupted: Bool) throws {
        let scene = try Scene(how)
        if isInterrupted { #expect(try scene.victim.ask("interrupt") == "interrupted") }
        try Tool.expect(0, ["apply", scene.patch.string, "--timeout", "0"] + scene.target)
        #expect(try scene.victim.ask("ask") == "-1")
        if isInterrupted { #expect(try scene.victim.ask("resume") == "resumed") }
        #expect(try scene.victim.ask("leave") == "100")
        try Tool.expect(0, ["revert", "frames-fix"] + scene.target)
        #expect(try scene.victim.ask("ask") == "0")
    }

    /// The frames of a signal handler lead on to what it interrupted.
    @Test func aSignalHandlerIsSeenThrough() throws {
        let scene = try Scene("deep 1")
        #expect(try scene.victim.ask("interrupt") == "interrupted")
        try Tool.expect(
            3, ["apply", scene.patch.string, "--timeout", "0"] + scene.target,
            says: [
                " in stay_in_handler+0x", "<signal handler called>", " in wait_at_door+0x",
                " in descend+0x",
            ])
        #expect(try scene.victim.ask("resume") == "resumed")
        #expect(try scene.victim.ask("leave") == "1")
    }

    /// The frames of a coroutine end without those of the stack that it left,
    /// wherever its own stack lies.
    @Test(arguments: ["apart", "below"]) func aCoroutineHidesNothing(_ how: String) throws {
        let scene = try Scene(how + " 2")
        try Tool.expect(
            3, ["apply", scene.patch.string, "--timeout", "0.2"] + scene.target,
            says: [
                "thread \(scene.thread) ('walker')", "'descend'", " in run_coroutine+0x",
                " in coroutine_entry+0x",
            ])
        #expect(try scene.victim.ask("leave") == "2")
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "-1")
    }

    /// The new code has frames too, which lead on to whoever called it.
    @Test func aThreadInAPayloadIsToldWithItsBacktrace() throws {
        let scene = try Scene("deep 2", after: "deep-fix")
        let said = try Tool.expect(
            3, ["revert", "deep-fix", "--timeout", "0"] + scene.target,
            says: [
                "thread \(scene.thread) ('walker')", " in wait_at_door+0x", " in descend+0x",
                "(patch 'deep-fix')", " in work+0x",
            ])
        #expect(!said.contains("not known"))
        #expect(try scene.victim.ask("leave") == "1002")
        try Tool.expect(0, ["revert", "deep-fix"] + scene.target)
        #expect(try scene.victim.ask("ask") == "0")
    }

    @Test func whatANewFunctionHasLeftIsNotInTheWay() throws {
        let scene = try Scene("stale", after: "deep-fix")
        try Tool.expect(0, ["revert", "deep-fix", "--timeout", "0"] + scene.target)
        #expect(try scene.victim.ask("ask") == "0")
        #expect(try scene.victim.ask("leave") == "1100")
    }

    /// What stands between a detour and the new code keeps registers, and so has a
    /// frame of its own.
    @Test func framesLeadThroughAThunk() throws {
        let program = try Program.compile("contract")
        let patch = try Patch.build("contract-wait-fix", for: program)
        let victim = try startVictim(program)
        let target = ["--pid", "\(victim.pid)"]
        try Tool.expect(0, ["apply", patch.string] + target)
        try victim.send("weigh")
        _ = try victim.readLine(startingWith: "waiting")
        let said = try Tool.expect(
            3, ["revert", "contract-wait-fix", "--timeout", "0"] + target,
            says: [" in clamp+0x", "(patch 'contract-wait-fix')", " in weigh+0x", " in main+0x"])
        #expect(!said.contains("not known"))
        #expect(try victim.ask("go on") == "7090")
        try Tool.expect(0, ["revert", "contract-wait-fix"] + target)
        #expect(try victim.ask("weigh") == "7090")
    }

    /// Of many threads some are named: to look at all of them would keep the program
    /// standing for nothing.
    @Test func ofACrowdSomeAreNamed() throws {
        let program = try Program.compile("crowd")
        let patch = try Patch.build("crowd-fix", for: program)
        let victim = try startVictim(program, ["200"])
        let target = ["--pid", "\(victim.pid)"]
        let document = try Tool.json(
            ["apply", patch.string, "--timeout", "0.1"] + target, code: 3)
        let result = try #require(document.member("targets").elements().first)
        let named = try result.member("busyThreads").elements()
        #expect((2..<200).contains(named.count))
        #expect(try named.allSatisfy { try $0.member("backtraceComplete").bool() })
        #expect(try Set(named.map { try $0.member("thread").integer() }).count == named.count)
        #expect(try result.member("message").string().contains("and perhaps others"))
        #expect(try victim.ask("leave") == "200")
        try Tool.expect(0, ["apply", patch.string] + target)
        #expect(try victim.ask("ask") == "new")
    }

    /// It is refused at once, not after the time is up.
    @Test(arguments: ["check", "apply"]) func aMainLoopIsRefused(_ command: String) throws {
        let program = try Program.compile("frames")
        let patch = try Patch.build("serve-fix", for: program)
        let victim = try startVictim(program)
        let target = ["--pid", "\(victim.pid)"]
        let code = try ProcessFacts(victim).code()
        let said = try Tool.expect(
            2, [command, patch.string, "--timeout", "3600"] + target,
            says: [
                "thread \(victim.pid) ('frames')", "'serve' never returns",
                "patch the functions that it calls", "--allow-active",
                "[switch.never-returns]", " in serve+0x", " in main+0x", " in _start+0x",
            ])
        #expect(!said.contains("not known"))
        let document = try Tool.json([command, patch.string] + target, code: 2)
        let result = try #require(document.member("targets").elements().first)
        let thread = try #require(result.member("busyThreads").elements().first)
        #expect(try thread.member("neverReturns").bool())
        #expect(try ProcessFacts(victim).code() == code)
        try Tool.expect(0, [command, patch.string, "--allow-active"] + target)
        #expect(try victim.ask("ask") == "0")
    }

    /// It has a return, but the thread never comes to it.
    @Test func aCallThatLastsTheWholeTimeIsNamed() throws {
        let scene = try Scene("deep 1")
        try Tool.expect(
            3, ["apply", scene.patch.string, "--timeout", "1.5"] + scene.target,
            says: [
                "in the same call each of the ", "if 'descend' is a loop that never returns",
                "patch the functions that it calls",
            ])
        #expect(try scene.victim.ask("leave") == "1")
    }
}
