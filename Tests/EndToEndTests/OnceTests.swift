import JSONText
import SystemPackage
import TestSupport
import Testing

/// What patches do once in the program, and with data that it has.
@Suite struct OnceTests {
    @Test func callbacksRunOnceBeforeAnyReplacement() throws {
        let base = try Program.compile("once")
        let patch = try Patch.build("once-fix", for: base)
        let victim = try startVictim(base)
        #expect(try victim.ask("r") == "applied 0, undone 0, wrong 0")
        for number in 1...2 {
            try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
            #expect(try victim.ask("m") == "gone on")
            #expect(try victim.ask("r") == "applied \(number), undone 0, wrong 0")
            // What is applied already does nothing again.
            try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
            #expect(try victim.ask("m") == "gone on")
            try Tool.expect(0, ["revert", "once-fix", "--pid", "\(victim.pid)"])
            #expect(try victim.ask("m") == "gone on")
            #expect(try victim.ask("r") == "applied \(number), undone 0, wrong 0")
        }
    }

    @Test func aProgramIsStartedWithThem() throws {
        let base = try Program.compile("once")
        let patch = try Patch.build("once-fix", for: base)
        let tool = try Tool.location.get()
        let victim = try Victim(tool, ["run", "--patch", patch.string, "--", base.string])
        _ = try victim.readLine(startingWith: "ready")
        #expect(try victim.ask("m") == "gone on")
        #expect(try victim.ask("r") == "applied 1, undone 0, wrong 0")
    }

    @Test func aPatchTellsWhatItCalls() throws {
        let patch = try Patch.build("once-fix", for: Program.compile("once"))
        let shown = try Tool.tsv(["show", patch.string]).filter { $0["what"] == "calls" }
        #expect(shown.map { $0["name"] } == ["first", "second", "third"])
        let document = try Tool.json(["show", patch.string])
        let names = try document.member("patch").member("callbacks").elements()
            .map { try $0.string() }
        #expect(names == ["first", "second", "third"])
    }

    // MARK: - Changes of data

    private struct Sessions {
        let base: FilePath
        private let before: FilePath
        private let after: FilePath
        private let folder: FilePath

        private static let flags = ["-std=gnu17", "-O2", "-g", "-pthread", "-fPIE"]
        private static let sections = ["-ffunction-sections", "-fdata-sections", "-c"]

        init(_ change: Int) throws {
            let fixture = "endtoend/sessions"
            let header = ["-I", try Self.headers.string]
            base = try Fixture.compile(fixture, flags: Self.flags + ["-pie"], output: "sessions")
            before = try Fixture.compile(
                fixture, flags: Self.flags + Self.sections, output: "sessions.o")
            after = try Fixture.compile(
                fixture, flags: Self.flags + Self.sections + header + ["-DCHANGE=\(change)"],
                output: "sessions.o")
            folder = try TemporaryDirectory.forWholeRun.get().makeDirectory()
        }

        private static var headers: FilePath {
            get throws {
                Fixture.sources.removingLastComponent().removingLastComponent()
                    .appending("include")
            }
        }

        /// What `--with` adds, compiled.
        func added(_ name: String) throws -> FilePath {
            try Fixture.compile(
                "endtoend/\(name)",
                flags: Self.flags + Self.sections + ["-I", try Self.headers.string],
                output: "\(name).o")
        }

        var patch: FilePath { folder.appending("change.hpatch") }

        func diff(_ code: Int32, _ options: [String] = [], says: [String] = []) throws {
            try Tool.expect(
                code,
                [
                    "diff", "--base", base.string, "--before", before.string, "--after",
                    after.string, "-o", patch.string,
                ] + options, says: says)
        }
    }

    @Test func aChangedInitialValueIsSetByACallback() throws {
        let sessions = try Sessions(1)
        let callback = try sessions.added("sessions-limit")
        try sessions.diff(2, says: ["diff.changed-data", "--with", "--accept-data limit"])
        try sessions.diff(2, ["--accept-data", "limit"], says: ["diff.changed-data"])
        try sessions.diff(2, ["--with", callback.string], says: ["diff.changed-data"])
        try sessions.diff(0, ["--with", callback.string, "--accept-data", "limit"])
        let victim = try startVictim(sessions.base)
        #expect(try victim.ask("l") == "limit 5")
        try Tool.expect(0, ["apply", sessions.patch.string, "--pid", "\(victim.pid)"])
        let pending = "calls raise_limit when a replacement is first entered"
        let status = ["status", "--pid", "\(victim.pid)"]
        try Tool.expect(0, status, says: [pending])
        #expect(try Self.progress(victim) == "pending")
        #expect(try victim.ask("l") == "the limit is 50")
        #expect(try Self.progress(victim) == "done")
        #expect(try !Tool.expect(0, status).contains("raise_limit"))
        try Tool.expect(0, ["revert", "change", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("l") == "limit 50")
    }

    private static func progress(_ victim: Victim) throws -> String {
        let patches = try Tool.json(["status", "--pid", "\(victim.pid)"]).member("patches")
        let patch = try #require(try patches.elements().first)
        #expect(try patch.member("callbacks").elements().map { try $0.string() } == ["raise_limit"])
        return try patch.member("once").string()
    }

    @Test func aStructureThatGrowsIsToldOfTheWayOut() throws {
        try Sessions(2).diff(
            2, says: ["diff.changed-layout", "hotpatch_shadow_get_or_attach", "--with"])
    }

    @Test func whatIsNewStandsBesideTheStructures() throws {
        let sessions = try Sessions(3)
        try sessions.diff(0)
        let victim = try startVictim(sessions.base)
        #expect(try victim.ask("t") == "nothing")
        for _ in 0..<2 {
            try Tool.expect(0, ["apply", sessions.patch.string, "--pid", "\(victim.pid)"])
            #expect(try victim.ask("m") == "gone on")
            #expect(try victim.ask("r") == "0")
            try Tool.expect(0, ["revert", "change", "--pid", "\(victim.pid)"])
            #expect(try victim.ask("m") == "gone on")
        }
        // A later patch, with a copy of its own of all functions, finds it.
        try Tool.expect(0, ["apply", sessions.patch.string, "--pid", "\(victim.pid)"])
        let second = try Patch.build("sessions-second", for: sessions.base)
        try Tool.expect(0, ["apply", second.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("m") == "gone on")
        #expect(try victim.ask("t") == "the same")
        #expect(try victim.ask("r") == "0")
    }
}
