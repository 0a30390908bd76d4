import Glibc
import JSONText
import SystemPackage
import TestSupport
import Testing

/// Which processes a command is for: `--pid`, `--exe` and `--all`. These tests
/// have builds of their own, since `--all` means every process with the base.
@Suite struct SelectionTests {
    /// Two processes of a build that nothing else in the test run has.
    private struct Scene {
        let program: FilePath
        let patch: FilePath
        let victims: [Victim]

        init(name: String, buildID: String) throws {
            program = try Program.compile("life", flags: ["-Wl,--build-id=0x\(buildID)"])
            patch = try Patch.build("life-fix", for: program, name: name)
            victims = [try startVictim(program), try startVictim(program)]
        }

        func answers() throws -> [String] { try victims.map { try $0.ask("ask") } }
        var pids: Set<String> { Set(victims.map { "\($0.pid)" }) }
    }

    @Test func byProgram() throws {
        let scene = try Scene(name: "by-program", buildID: "e2e0000000000001")
        let target = ["--exe", scene.program.string]
        try Tool.expect(0, ["check", scene.patch.string] + target, says: ["can be applied"])
        #expect(try scene.answers() == ["old", "old"])
        try Tool.expect(0, ["apply", scene.patch.string] + target, says: ["applied 'by-program'"])
        #expect(try scene.answers() == ["new", "new"])
        let rows = try Tool.tsv(["status"] + target)
        #expect(Set(rows.compactMap { $0["pid"] }) == scene.pids)
        try Tool.expect(0, ["revert", "by-program"] + target)
        #expect(try scene.answers() == ["old", "old"])
    }

    @Test func byBase() throws {
        let scene = try Scene(name: "by-base", buildID: "e2e0000000000002")
        let reports = try Tool.json(["apply", scene.patch.string, "--all"])
            .member("targets").elements()
        let pids = try reports.map { "\(try $0.member("pid").integer())" }
        #expect(Set(pids) == scene.pids && pids.count == 2)
        #expect(try scene.answers() == ["new", "new"])
        let survey = try Tool.tsv(["status"]).filter { $0["patch"] == "by-base" }
        #expect(Set(survey.compactMap { $0["pid"] }) == scene.pids)
        try Tool.expect(0, ["revert", "by-base", "--all"])
        #expect(try scene.answers() == ["old", "old"])
    }

    @Test func severalProcessIDs() throws {
        let scene = try Scene(name: "by-pid", buildID: "e2e0000000000003")
        try Tool.expect(0, ["apply", scene.patch.string, "--pid"] + scene.pids.sorted())
        #expect(try scene.answers() == ["new", "new"])
    }

    /// Tools that work on one process at the same time wait for one another.
    @Test func severalToolsAtOnce() throws {
        let library = try Program.compile("uses-library", flags: ["-fPIC", "-shared"])
        let program = try Program.compile("uses", flags: [library.string])
        let patches = try ["stack-arguments", "error-number", "own-things", "stored-pointer"]
            .map { try Patch.build("uses/\($0)", for: program) }
        let victim = try startVictim(program)
        let tools = try patches.map {
            try Tool.start(["apply", $0.string, "--pid", "\(victim.pid)"])
        }
        let codes = try tools.map { try $0.finish().code }
        // The last two replace the same function: the one that comes last is on top.
        #expect(codes == [0, 0, 0, 0])
        #expect(try victim.ask("sum") == "-9812")
        #expect(try victim.ask("open") == "-1 ENOENT")
        #expect(try victim.ask("ask").hasPrefix("new"))
    }

    /// What is no program is told from a program that nobody runs.
    @Test func pathsThatNoProcessCanRun() throws {
        let directory = try TemporaryDirectory()
        let script = directory.path.appending("script")
        try script.write(
            Array("#! /usr/bin/env  nothing\ntrue\n".utf8), permissions: [.ownerReadWriteExecute])
        let library = try Program.compile("uses-library", flags: ["-fPIC", "-shared"])
        let cases: [(path: String, says: [String])] = [
            (directory.path.string, ["is a directory"]),
            (script.string, ["is a script", "interpreter '/usr/bin/env nothing'"]),
            (library.string, ["is a shared library", "--all"]),
            (directory.path.appending("nothing").string, ["there is no file", "deleted file"]),
            (directory.path.appending("n\u{fffd}thing").string, ["must be UTF-8"]),
        ]
        for (path, texts) in cases {
            try Tool.expect(5, ["status", "--exe", path], says: texts)
        }
        try Tool.expect(5, ["list-symbols", "/n\u{fffd}where"], says: ["must be UTF-8"])
    }

    /// Its path is the same however it is written.
    @Test func aProgramThatIsGone() throws {
        let directory = try TemporaryDirectory()
        let program = try Program.copy(try Program.compile("life"), to: directory)
        let victim = try startVictim(program)
        try program.remove()
        let detour =
            directory.path.appending("..").string + "/"
            + (directory.path.lastComponent?.string ?? "") + "/life"
        for path in [program.string, detour] {
            try Tool.expect(0, ["status", "--exe", path], says: ["No patch is applied"])
        }
        #expect(victim.isRunning)
    }

    @Test func aPatchThatNobodyHas() throws {
        let result = try Tool.run(["revert", "never-applied", "--all"])
        let codes: [Int32] = geteuid() == 0 ? [5] : [5, 6]
        #expect(codes.contains(result.code ?? -1))
        #expect(
            result.errorOutput.contains("no process has a patch called 'never-applied'")
                || result.code == 6)
    }

    @Test func aPatchBehindProcessIDs() throws {
        try Tool.expect(
            64, ["apply", "--pid", "1", "fix.hpatch"],
            says: ["'fix.hpatch' is invalid", "put it before --pid"])
        try Tool.expect(
            64, ["revert", "--pid", "1", "fix"], says: ["Put NAME before --pid"])
    }

    @Test func aProgramThatNobodyRuns() throws {
        let program = try Program.compile("life", flags: ["-Wl,--build-id=0xe2e0000000000004"])
        let patch = try Patch.build("life-fix", for: program)
        // Who is not root cannot know: a process of somebody else may run it.
        let codes: [Int32] = geteuid() == 0 ? [5] : [5, 6]
        for target in [["--exe", program.string], ["--all"]] {
            let result = try Tool.run(["apply", patch.string] + target)
            #expect(codes.contains(result.code ?? -1))
            #expect(result.errorOutput.contains("no process") || result.code == 6)
        }
    }
}
