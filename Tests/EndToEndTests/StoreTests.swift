import Glibc
import JSONText
import SystemPackage
import TestSupport
import Testing

/// `install`, `uninstall` and `log` with processes that run. Each test has builds of its
/// own, since they mean every process with the base.
@Suite struct StoreTests {
    /// A store of the test's own.
    private struct Store {
        let directory: TemporaryDirectory
        var state: FilePath { directory.path.appending("state") }

        init() throws { directory = try TemporaryDirectory() }

        @discardableResult
        func expect(
            _ code: Int32, _ arguments: [String], says texts: [String] = [],
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws -> String {
            try Tool.expect(
                code, arguments + ["--state-dir", state.string], says: texts,
                sourceLocation: sourceLocation)
        }

        /// What a command did to which process: `applied fix`.
        func results(_ arguments: [String], code: Int32 = 0) throws -> [String] {
            let json = try Tool.json(arguments + ["--state-dir", state.string], code: code)
            return try json.member("targets").elements().map {
                try $0.member("result").string() + " " + $0.member("patch").string()
            }
        }

        /// The log, a line each: `apply applied fix PID`.
        func log() throws -> [String] {
            let rows = try Tool.tsv(["log", "--state-dir", state.string])
            return rows.map { row in
                ["action", "result", "patch", "pid", "code"].map { row[$0] ?? "?" }
                    .filter { !$0.isEmpty }.joined(separator: " ")
            }
        }
    }

    /// A build id for one test.
    private static func id(_ number: Int) -> String { "570e0000000000\(10 + number)" }

    private static func build(_ number: Int) -> [String] {
        ["-Wl,--build-id=0x\(id(number))"]
    }

    /// A process gets what is installed, in order, whenever it is brought to it.
    @Test func theSeriesIsApplied() throws {
        let store = try Store()
        let chorus = try SetTests.Chorus(build: Self.id(1))
        let first = try chorus.patch("first", ["ALTO", "TENOR"], version: 2)
        let second = try chorus.patch(
            "second", ["TENOR"], version: 3, options: ["--requires", "first"])
        let third = try chorus.patch("third", ["TENOR", "LEAD"], version: 4)
        try store.expect(2, ["install", second], says: ["requires 'first'", "series.requirement"])
        try store.expect(
            0, ["install", first], says: ["installed 'first'", "digest", "applied 'first'"])
        #expect(try chorus.report().prefix(4) == [1, 2, 2, 1])
        #expect(try store.results(["install", second]) == ["applied second"])
        #expect(try chorus.report().prefix(4) == [1, 2, 3, 1])

        let late = try startVictim(chorus.program)
        #expect(try chorus.report(of: late).prefix(4) == [1, 1, 1, 1])
        #expect(
            try store.results(["install", third]).sorted()
                == ["applied first", "applied second", "applied third", "applied third"])
        for victim in [chorus.victim, late] {
            #expect(try chorus.report(of: victim).prefix(4) == [4, 2, 4, 1])
        }
        try store.expect(
            0, ["install", third], says: ["is installed already", "No running process"])

        try store.expect(2, ["uninstall", "first"], says: ["'second' requires it"])
        #expect(try chorus.report().prefix(4) == [4, 2, 4, 1])
        // `third` stands on it, and comes again.
        try store.expect(0, ["uninstall", "second"])
        for victim in [chorus.victim, late] {
            #expect(try chorus.report(of: victim).prefix(4) == [4, 2, 4, 1])
        }
        try store.expect(0, ["uninstall", "third", "first"])
        for victim in [chorus.victim, late] {
            #expect(try chorus.report(of: victim).prefix(4) == [1, 1, 1, 1])
        }
        #expect(try DirectoryListing.names(store.state.appending("patches")).isEmpty)
        try store.expect(5, ["uninstall", "first"], says: ["no patch called 'first'", "none is"])
    }

    /// What somebody applied out of order, or in another build, is put in order.
    @Test func aProcessIsPutInOrder() throws {
        let store = try Store()
        let chorus = try SetTests.Chorus(build: Self.id(2))
        let first = try chorus.patch("first", ["ALTO", "TENOR"], version: 2)
        let second = try chorus.patch("second", ["TENOR"], version: 3)
        let older = try chorus.patch("first", ["ALTO"], version: 5)
        let own = try chorus.patch("own", ["LEAD"], version: 6)
        for patch in [own, older, second] { try Tool.expect(0, ["apply", patch] + chorus.target) }
        #expect(try chorus.report().prefix(4) == [6, 5, 3, 1])
        try store.expect(0, ["install", first, second])
        // Its own patch stays.
        #expect(try chorus.report().prefix(4) == [6, 2, 3, 1])
        try Tool.expect(0, ["revert", "second"] + chorus.target)
        #expect(try chorus.report().prefix(4) == [6, 2, 2, 1])
        // The same command again mends it.
        #expect(try store.results(["install", second]) == ["applied second"])
        #expect(try chorus.report().prefix(4) == [6, 2, 3, 1])
        // Upside down.
        try Tool.expect(0, ["revert", "second"] + chorus.target)
        try Tool.expect(0, ["revert", "first"] + chorus.target)
        for patch in [second, first] { try Tool.expect(0, ["apply", patch] + chorus.target) }
        #expect(try chorus.report().prefix(4) == [6, 2, 2, 1])
        #expect(
            try store.results(["install", first])
                == ["reverted first", "applied first", "reverted second", "applied second"])
        #expect(try chorus.report().prefix(4) == [6, 2, 3, 1])
        try store.expect(0, ["uninstall", "--all"])
        #expect(try chorus.report().prefix(4) == [6, 1, 1, 1])
    }

    @Test func laterOnesTakeThePlaceOfEarlierOnes() throws {
        let store = try Store()
        let chorus = try SetTests.Chorus(build: Self.id(3))
        let first = try chorus.patch("first", ["ALTO"], version: 2)
        let second = try chorus.patch("second", ["TENOR"], version: 2)
        let library = try chorus.patch("library", ["BASS"], version: 2)
        try store.expect(0, ["install", first, second, library])
        #expect(try chorus.report().prefix(4) == [1, 2, 2, 2])
        let successor = try chorus.patch(
            "successor", ["LEAD"], version: 3, options: ["--supersedes", "first"])
        try store.expect(0, ["install", successor], says: ["in the place of 'first'"])
        #expect(try chorus.report().prefix(4) == [3, 1, 2, 2])
        let newer = try chorus.patch("second", ["TENOR"], version: 4)
        try store.expect(2, ["install", newer], says: ["--replace", "series.name-taken"])
        #expect(try chorus.report().prefix(4) == [3, 1, 2, 2])
        try store.expect(0, ["install", newer, "--replace"])
        #expect(try chorus.report().prefix(4) == [3, 1, 4, 2])
        let all = try chorus.patch("all", ["ALTO"], version: 5, options: ["--cumulative"])
        #expect(
            Set(try store.results(["install", all]))
                == ["applied all", "reverted second", "reverted successor"])
        // The library's is another base's.
        #expect(try chorus.report().prefix(4) == [1, 5, 1, 2])
        let log = try store.log().filter { $0.hasPrefix("revert") }
        let pid = chorus.victim.pid
        #expect(
            log == [
                "revert reverted first \(pid)", "revert reverted second \(pid)",
                "revert reverted second \(pid)", "revert reverted successor \(pid)",
            ])
    }

    /// What a process refuses is told; the store is changed, and the same command tries
    /// again.
    @Test func aProcessThatIsBusy() throws {
        let store = try Store()
        let program = try Program.compile("busy", flags: Self.build(4))
        let patch = try Patch.build("busy-fix", for: program).string
        let victim = try startVictim(program)
        let entered = try victim.ask("sleep")
        #expect(entered.hasPrefix("entered"))
        let short = ["--timeout", "0.2"]
        try store.expect(
            4, ["install", patch] + short,
            says: ["'busy-fix': gave up", "switch.busy", "the store is changed all the same"])
        #expect(try victim.ask("leave") == "old")
        #expect(try store.results(["install", patch]) == ["applied busy-fix"])
        #expect(try victim.ask("ask") == "new")

        // Nothing is refused for good: what is uninstalled is still tried.
        try Tool.expect(0, ["revert", "busy-fix", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("sleep").hasPrefix("entered"))
        try store.expect(4, ["install", patch] + short)
        try store.expect(0, ["uninstall", "busy-fix"])
        #expect(try victim.ask("leave") == "old")
        #expect(
            try store.log() == [
                "install installed busy-fix", "apply timed-out busy-fix \(victim.pid) switch.busy",
                "apply applied busy-fix \(victim.pid)",
                "apply timed-out busy-fix \(victim.pid) switch.busy",
                "uninstall uninstalled busy-fix",
            ])
    }

    @Test func aProcessThatKeepsItsPatch() throws {
        let store = try Store()
        let program = try Program.compile("life", flags: Self.build(5))
        let patch = try Patch.build("life-fix", for: program).string
        let victim = try startVictim(program)
        try store.expect(0, ["install", patch, "--no-apply"])
        #expect(try victim.ask("ask") == "old")
        try store.expect(0, ["install", patch], says: ["applied 'life-fix'"])
        #expect(try victim.ask("ask") == "new")
        try store.expect(0, ["uninstall", "life-fix", "--keep-running"])
        #expect(try victim.ask("ask") == "new")
        // That was meant: nothing that comes later takes it out.
        try store.expect(0, ["uninstall", "--all"], says: ["No patch is installed"])
        #expect(try victim.ask("ask") == "new")
    }

    /// A tool that was killed between the store and the processes.
    @Test func whatWasUninstalledAndIsStillInLeavesLater() throws {
        let store = try Store()
        let program = try Program.compile("life", flags: Self.build(6))
        let patch = try Patch.build("life-fix", for: program).string
        let victim = try startVictim(program)
        try store.expect(0, ["install", patch])
        // Stopped as it is, no thread of it can be looked at.
        victim.signal(SIGSTOP)
        let tool = try Tool.start(
            ["uninstall", "life-fix", "--state-dir", store.state.string, "--timeout", "30"])
        try wait(until: "the store is changed") {
            try store.log().last == "uninstall uninstalled life-fix"
        }
        tool.signal(SIGKILL)
        _ = try tool.finish()
        victim.signal(SIGCONT)
        _ = try store.expect(0, ["uninstall", "life-fix"], says: ["uninstalled"])
        #expect(try victim.ask("ask") == "old")
        try store.expect(5, ["uninstall", "life-fix"])
    }

    /// Its base is gone from the disk and from memory, and the new build has the fix.
    @Test func aPatchThatIsRetired() throws {
        let store = try Store()
        let folder = try TemporaryDirectory()
        let old = try Program.compile("life", flags: Self.build(7))
        let new = try Program.compile("life", flags: Self.build(8) + ["-DFIXED"])
        let other = try Program.compile("life", flags: Self.build(9))
        let program = try Program.copy(old, to: folder)
        let patch = try Patch.build("life-fix", for: old, options: ["--fixed-in", new.string])
        var victim: Victim? = try startVictim(program)
        try store.expect(0, ["install", patch.string])
        let retire = ["uninstall", "--retired"]
        try store.expect(0, retire, says: ["No installed patch is retired"])
        /// As a package manager does: another file takes its name.
        func upgrade(to build: FilePath) throws {
            let aside = folder.path.appending("aside")
            try aside.write(build.bytes(), permissions: [.ownerReadWriteExecute])
            try aside.rename(to: program)
        }
        try upgrade(to: other)
        try store.expect(0, retire, says: ["No installed patch is retired"])
        try upgrade(to: new)
        // A process runs the old one still.
        try store.expect(0, retire, says: ["No installed patch is retired"])
        #expect(try victim?.ask("ask") == "new")
        victim = nil
        let said = try store.expect(0, retire)
        // Who is not root cannot know what others run.
        #expect(said.contains(geteuid() == 0 ? "uninstalled 'life-fix'" : "No installed patch"))
    }

    /// Whatever is no sound patch changes nothing, and is written down.
    @Test func filesThatAreNoPatch() throws {
        let store = try Store()
        let program = try Program.compile("life", flags: Self.build(10))
        let good = try Patch.build("life-fix", for: program)
        let torn = store.directory.path.appending("torn.hpatch")
        let bytes = try good.bytes()
        try torn.write(Array(bytes.prefix(bytes.count - 100)))
        let cases: [(path: String, code: String)] = [
            (torn.string, "elf.truncated"), ("/bin/true", "patch.no-manifest"),
            ("/nonexistent", "patch.system"), (#filePath, "elf.not-elf"),
        ]
        for (path, code) in cases {
            // All of them or none.
            try store.expect(1, ["install", good.string, path], says: [code])
        }
        #expect(unsafe access(store.state.appending("series.json").string, F_OK) != 0)
        #expect(try store.log() == cases.map { "install failed \($0.code)" })
        try store.expect(
            2, ["install", good.string, "--path", "/bin/true"], says: ["store.other-build"])
        for wrong in [["install"], ["uninstall"], ["uninstall", "a", "--all"]] {
            try Tool.expect(64, wrong)
        }
    }

    /// A damaged one is named, and the others are applied.
    @Test func aDamagedPatchKeepsNothingBack() throws {
        let store = try Store()
        let chorus = try SetTests.Chorus(build: Self.id(11))
        let first = try chorus.patch("first", ["ALTO"], version: 2)
        let second = try chorus.patch("second", ["TENOR"], version: 3)
        let third = try chorus.patch("third", ["LEAD"], version: 4)
        try store.expect(0, ["install", first, second, "--no-apply"])
        let patches = store.state.appending("patches")
        let file = try #require(
            DirectoryListing.names(patches).first { $0.hasPrefix("first-") })
        try patches.appending(file).write(Array("torn".utf8))
        let arguments = ["install", third, "--state-dir", store.state.string]
        let result = try Tool.run(arguments)
        #expect(result.succeeded)
        #expect(result.errorOutput.contains("the installed patch 'first' is skipped"))
        #expect(try chorus.report().prefix(4) == [4, 1, 3, 1])
        try store.expect(0, ["install", first], says: ["its file could not be used"])
        #expect(try chorus.report().prefix(4) == [4, 2, 3, 1])
        try patches.appending(file).remove()
        // It goes by its name, wherever it is applied.
        try store.expect(0, ["uninstall", "first"])
        #expect(try chorus.report().prefix(4) == [4, 1, 3, 1])
    }

    /// Each apply, revert and refusal by hand is a line too.
    @Test func whatIsDoneByHandIsWrittenDown() throws {
        let store = try Store()
        let program = try Program.compile("busy", flags: Self.build(12))
        let patch = try Patch.build("busy-fix", for: program).string
        let victim = try startVictim(program)
        let target = ["--pid", "\(victim.pid)"]
        #expect(try victim.ask("sleep").hasPrefix("entered"))
        try store.expect(3, ["apply", patch, "--timeout", "0.1"] + target)
        #expect(try victim.ask("leave") == "old")
        try store.expect(0, ["apply", patch] + target)
        // Nothing is done, and nothing is written.
        try store.expect(0, ["apply", patch] + target)
        try store.expect(0, ["check", patch] + target)
        try store.expect(0, ["revert", "busy-fix"] + target)
        #expect(
            try store.log() == [
                "apply timed-out busy-fix \(victim.pid) switch.busy",
                "apply applied busy-fix \(victim.pid)", "revert reverted busy-fix \(victim.pid)",
            ])
        let events = try Tool.json(["log", "--state-dir", store.state.string])
            .member("events").elements()
        let applied = try #require(events.dropFirst().first)
        #expect(try applied.member("base").string() == "570e000000000022")
        #expect(try applied.member("digest").string().count == 64)
        #expect(try applied.member("stallMicroseconds").integer() > 0)
        let process = try applied.member("process")
        #expect(try process.member("executable").string() == program.string)
        let actor = try applied.member("actor")
        #expect(try actor.member("userId").integer() == Int64(geteuid()))
        #expect(try actor.member("command").string().contains("apply \(patch)"))
    }
}

enum DirectoryListing {
    static func names(_ path: FilePath) throws -> [String] {
        let result = try Command.run("ls", ["-A", path.string])
        try #require(result.succeeded, "\(result.errorOutput)")
        return result.output.split(separator: "\n").map(String.init)
    }
}
