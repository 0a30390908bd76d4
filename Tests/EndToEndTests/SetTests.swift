import JSONText
import SystemPackage
import TestSupport
import Testing

/// Many functions at one moment, and patches on top of patches.
@Suite struct SetTests {
    /// The chorus, running, with patches for it.
    struct Chorus {
        let program: FilePath
        let library: FilePath
        let victim: Victim
        var target: [String] { ["--pid", "\(victim.pid)"] }

        /// - Parameter build: in hexadecimal, for builds that nothing else in the test run
        ///   has.
        init(build: String? = nil) throws {
            func flags(_ prefix: String) -> [String] {
                ["-falign-functions=4096"]
                    + (build.map { ["-Wl,--build-id=0x\(prefix)\($0)"] } ?? [])
            }
            library = try Program.compile(
                "chorus-library", flags: ["-fPIC", "-shared"] + flags("51"))
            program = try Program.compile("chorus", flags: [library.string] + flags("52"))
            victim = try startVictim(program)
        }

        /// A patch that gives these voices a version.
        func patch(
            _ name: String, _ voices: [String], version: Int, options: [String] = []
        ) throws -> String {
            let base = voices.contains("BASS") ? library : program
            return try Patch.build(
                "chorus-fix", for: base, name: name,
                options: options + ["--", "-DVERSION=\(version)"] + voices.map { "-D\($0)" }
            ).string
        }

        /// The versions of lead, alto, tenor and bass, and the mixed rounds.
        func report(_ line: String = "report", of other: Victim? = nil) throws -> [Int] {
            try (other ?? victim).ask(line).split(separator: " ").compactMap { Int($0) }
        }

        /// The state of each patch by its name.
        func states() throws -> [String: String] {
            let rows = try Tool.tsv(["status"] + target)
            return Dictionary(
                rows.map { ($0["patch"] ?? "", $0["state"] ?? "") }, uniquingKeysWith: { $1 })
        }
    }

    /// Several functions, on several pages and in two objects: no round is mixed.
    @Test func aSetIsSwitchedAsOne() throws {
        let chorus = try Chorus()
        let upper = try chorus.patch("upper", ["LEAD", "ALTO", "TENOR"], version: 2)
        let lower = try chorus.patch("lower", ["BASS"], version: 2)
        #expect(try chorus.report("reset") == [1, 1, 1, 1, 0])
        for _ in 0..<25 {
            try Tool.expect(0, ["apply", upper, lower] + chorus.target)
            #expect(try chorus.report() == [2, 2, 2, 2, 0])
            try Tool.expect(0, ["revert", "--all"] + chorus.target)
            #expect(try chorus.report() == [1, 1, 1, 1, 0])
        }
        #expect(try chorus.states() == ["upper": "reverted", "lower": "reverted"])
    }

    @Test func aSetThatCannotBeWholeIsRefusedWhole() throws {
        let chorus = try Chorus()
        let upper = try chorus.patch("upper", ["LEAD", "ALTO", "TENOR"], version: 2)
        let foreign = try Patch.build("life-fix", for: try Program.compile("life"))
        let maps = try ProcessFacts(chorus.victim).maps().count
        let directory = try TemporaryDirectory()
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command, upper, foreign.string] + chorus.target,
                says: ["switch.base-not-loaded"])
        }
        #expect(try chorus.report() == [1, 1, 1, 1, 0])
        #expect(try ProcessFacts(chorus.victim).maps().count == maps)
        let rival = try chorus.patch("rival", ["ALTO"], version: 3)
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command, upper, rival] + chorus.target,
                says: ["'upper' and 'rival' both replace 'alto'", "switch.replaced-twice"])
        }
        let namesake = directory.path.appending("namesake.hpatch")
        try namesake.write(try FilePath(try chorus.patch("lower", ["BASS"], version: 2)).bytes())
        let other = try chorus.patch("lower", ["BASS"], version: 3)
        try Tool.expect(
            2, ["apply", namesake.string, other] + chorus.target,
            says: ["two of the patches are called 'lower'", "switch.named-alike"])
        #expect(try chorus.states().isEmpty)
    }

    @Test func aPatchStandsOnAnother() throws {
        let chorus = try Chorus()
        let first = try chorus.patch("first", ["ALTO", "TENOR"], version: 2)
        let second = try chorus.patch("second", ["TENOR", "LEAD"], version: 3)
        let third = try chorus.patch("third", ["TENOR"], version: 4)
        try Tool.expect(0, ["apply", first] + chorus.target)
        #expect(try chorus.report().prefix(4) == [1, 2, 2, 1])
        try Tool.expect(0, ["apply", second] + chorus.target)
        #expect(try chorus.report().prefix(4) == [3, 2, 3, 1])
        try Tool.expect(0, ["apply", third] + chorus.target)
        #expect(try chorus.report().prefix(4) == [3, 2, 4, 1])
        #expect(
            try chorus.states() == ["first": "applied", "second": "applied", "third": "applied"])
        let status = try Tool.json(["status"] + chorus.target).member("patches").elements()
        for patch in status where try patch.member("patch").string() == "first" {
            let covered = try patch.member("covered").elements()
            #expect(try covered.map { try $0.member("symbol").string() } == ["tenor"])
            #expect(try covered.map { try $0.member("by").string() } == ["third"])
        }
        for below in ["first", "second"] {
            try Tool.expect(
                2, ["revert", below] + chorus.target,
                says: ["'\(below)' lies under 'third'", "revert 'third' first"])
        }
        try Tool.expect(0, ["revert", "third"] + chorus.target)
        #expect(try chorus.report().prefix(4) == [3, 2, 3, 1])
        try Tool.expect(0, ["revert", "second"] + chorus.target)
        #expect(try chorus.report().prefix(4) == [1, 2, 2, 1])
        try Tool.expect(0, ["apply", third] + chorus.target)
        try Tool.expect(0, ["revert", "--all"] + chorus.target)
        #expect(try chorus.report().prefix(4) == [1, 1, 1, 1])
        #expect(
            try chorus.states() == ["first": "reverted", "second": "reverted", "third": "reverted"])
    }

    @Test func aCumulativePatchTakesThePlaceOfAllOthers() throws {
        let chorus = try Chorus()
        let first = try chorus.patch("first", ["ALTO"], version: 2)
        let second = try chorus.patch("second", ["TENOR"], version: 3)
        let lower = try chorus.patch("lower", ["BASS"], version: 5)
        let all = try chorus.patch("all", ["LEAD", "TENOR"], version: 4, options: ["--cumulative"])
        try Tool.expect(0, ["show", all], says: ["cumulative"])
        for patch in [first, second, lower] {
            try Tool.expect(0, ["apply", patch] + chorus.target)
        }
        #expect(try chorus.report().prefix(4) == [1, 2, 3, 5])
        try Tool.expect(0, ["apply", all] + chorus.target)
        // A patch of another object stays.
        #expect(try chorus.report().prefix(4) == [4, 1, 4, 5])
        let states = [
            "first": "reverted", "second": "reverted", "lower": "applied", "all": "applied",
        ]
        #expect(try chorus.states() == states)
        try Tool.expect(0, ["revert", "all"] + chorus.target)
        #expect(try chorus.report().prefix(4) == [1, 1, 1, 5])
    }
}
