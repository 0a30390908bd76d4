import Addresses
import JSONText
import LiveProcess
import PatchFile
import PatchLinker
import Switchover
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Two patches, one for each of two libraries that may go, come twice, or have their
/// payloads spoiled.
@Suite struct PairTests {
    private struct Pair {
        let directory: TemporaryDirectory
        let one: FilePath
        let victim: Victim
        let patches: [String]

        init() throws {
            directory = try TemporaryDirectory()
            var libraries: [FilePath] = []
            var patches: [String] = []
            for name in ["one", "two"] {
                let path = directory.path.appending("lib\(name).so")
                try Fixture.compile(
                    source: Fixture.sources.appending("endtoend/pair-library.c"), to: path,
                    flags: ["-O2", "-fPIC", "-shared", "-DVOICE=\(name)"])
                libraries.append(path)
                patches.append(
                    try Patch.build(
                        "pair-fix", for: path, name: name, options: ["--", "-DVOICE=\(name)"]
                    ).string)
            }
            one = libraries[0]
            self.patches = patches
            victim = try startVictim(Program.compile("pair"), libraries.map(\.string))
        }

        var target: [String] { ["--pid", "\(victim.pid)"] }

        func patch(_ number: Int) throws -> PatchFile {
            try PatchFile.read(path: FilePath(patches[number]))
        }

        func report() throws -> String { try victim.ask("report") }

        /// A child that is as the program was in this phase of applying both patches; from
        /// then on it answers.
        func childBorn(in phase: SwitchPhase) throws -> TargetProcess {
            let born = Mutex<Result<Int32, any Error>?>(nil)
            var options = SwitchOptions(timeout: .seconds(60))
            options.observer = { seen in
                guard seen == phase else { return }
                born.withLock { born in
                    guard born == nil else { return }
                    born = Result {
                        let answer = try victim.ask("fork")
                        return try #require(answer.split(separator: " ").last.flatMap { Int32($0) })
                    }
                }
            }
            let process = try TargetProcess.find(ProcessID(rawValue: victim.pid))
            _ = try Switchover.apply([patch(0), patch(1)], to: process, options: options)
            let child = try #require(try born.withLock { try $0?.get() })
            return try TargetProcess.find(ProcessID(rawValue: child))
        }
    }

    // MARK: - A library goes in the middle

    /// Whether the switch is decided, and whether the other library's function goes by way
    /// of its stub: all that a tool may leave that dies.
    struct Death {
        let isDecided: Bool
        let isByWayOfStub: Bool
    }

    /// The tool has died, and then the library goes whose payload leads the switch. What
    /// remains follows the word.
    @Test(arguments: [
        Death(isDecided: false, isByWayOfStub: false), Death(isDecided: false, isByWayOfStub: true),
        Death(isDecided: true, isByWayOfStub: true),
    ])
    func theLeadersLibraryGoes(_ death: Death) throws {
        let pair = try Pair()
        let child = try pair.childBorn(in: .stopping)
        let target = ["--pid", "\(child.id)"]
        let applied = try Switchover.status(of: child)
        #expect(applied.map(\.state) == [.interrupted, .interrupted])
        let leader = try #require(applied.first { $0.record.name == "one" }).record
        let detour = try #require(applied.first { $0.record.name == "two" }).record.detours[0]
        let memory = ProcessMemory(of: child.id)
        if death.isByWayOfStub {
            let jump = try #require(detour.bytes(leadingTo: .code(detour.stub)))
            try memory.write(jump.site, at: detour.site)
        }
        if death.isDecided {
            try memory.write([1], at: #require(leader.decisionWord))
        }
        let voice = death.isDecided ? 2 : 1
        #expect(try pair.report() == "one 1 two \(voice)")
        #expect(try pair.victim.ask("close") == "closed")
        try Tool.expect(0, ["status"] + target, says: ["interrupted"])
        try Tool.expect(0, ["recover"] + target, says: ["'two'"])
        #expect(try pair.report() == "one 0 two \(voice)")
        let expected: AppliedPatch.State = death.isDecided ? .applied : .unused
        let rest = try Switchover.status(of: child).filter { $0.record.name == "two" }
        #expect(rest.map(\.state) == (death.isDecided ? [expected] : []))
        try Tool.expect(0, ["recover"] + target, says: ["nothing to put right"])
        // The library comes back to where it was, perhaps: no switch is owed to it.
        #expect(try pair.victim.ask("load \(pair.one)") == "loaded")
        try Tool.expect(0, ["recover"] + target)
        #expect(try pair.report() == "one 0 two \(voice)")
        try Tool.expect(0, ["recover"] + target, says: ["nothing to put right"])
        try Tool.expect(0, ["apply"] + pair.patches + target)
        #expect(try pair.report() == "one 0 two 2")
        try Tool.expect(0, ["revert", "--all"] + target)
        #expect(try pair.report() == "one 0 two 1")
    }

    // MARK: - A library comes twice

    /// Under another name, and in a name space of its own.
    @Test(arguments: ["load", "space"]) func aBaseThatIsLoadedTwice(_ how: String) throws {
        let pair = try Pair()
        let elsewhere = try TemporaryDirectory()
        let copy = try Program.copy(pair.one, to: elsewhere)
        let path = how == "load" ? copy : pair.one
        try Tool.expect(0, ["apply", pair.patches[0]] + pair.target)
        try Tool.expect(0, ["revert", "one"] + pair.target)
        #expect(try pair.victim.ask("\(how) \(path)") == "loaded")
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command, pair.patches[0]] + pair.target,
                says: ["loaded 2 times", "libone.so", "switch.base-loaded-twice"])
        }
        #expect(try pair.report() == "one 1 two 1")
        #expect(try pair.victim.ask("unload") == "unloaded")
        try Tool.expect(0, ["apply", pair.patches[0]] + pair.target)
        #expect(try pair.report() == "one 2 two 1")
        // What is in goes out again, whatever came meanwhile.
        #expect(try pair.victim.ask("\(how) \(path)") == "loaded")
        try Tool.expect(0, ["status"] + pair.target, says: ["applied"])
        try Tool.expect(0, ["revert", "one"] + pair.target)
        #expect(try pair.report() == "one 1 two 1")
    }

    // MARK: - A payload is spoiled

    @Test(arguments: [
        ("zero", "has overwritten its state"), ("seal", "has changed its mappings"),
    ])
    func aSpoiledPayloadIsToldOf(_ how: String, _ sentence: String) throws {
        let pair = try Pair()
        try Tool.expect(0, ["apply"] + pair.patches + pair.target)
        let process = try TargetProcess.find(ProcessID(rawValue: pair.victim.pid))
        let record = try #require(
            try Switchover.status(of: process).first { $0.record.name == "one" }
        ).record
        let place = try #require(record.statePlace)
        _ = try pair.victim.ask("\(how) \(place)")
        let code = try ProcessFacts(pair.victim).code()
        try Tool.expect(0, ["status"] + pair.target, says: ["damaged", sentence])
        let status = try Tool.json(["status"] + pair.target).member("patches").elements()
        let states = try status.map { try $0.member("state").string() }
        #expect(states.sorted() == ["applied", "damaged"])
        for command in [["revert", "one"], ["revert", "--all"], ["recover"]] {
            try Tool.expect(
                2, command + pair.target,
                says: ["'one'", sentence, "restarted", "switch.damaged-payload"])
        }
        try Tool.expect(
            2, ["apply", pair.patches[0]] + pair.target,
            says: ["another patch called 'one' is applied"])
        #expect(try ProcessFacts(pair.victim).code() == code)
        #expect(try pair.report() == "one 2 two 2")
        // The other is sound.
        try Tool.expect(0, ["revert", "two"] + pair.target)
        #expect(try pair.report() == "one 2 two 1")
    }
}
