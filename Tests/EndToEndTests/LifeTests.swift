import Glibc
import SystemPackage
import TestSupport
import Testing

/// A patch and what happens to processes: they are stopped, fork, exec, and
/// their files are removed or replaced.
@Suite struct LifeTests {
    private func scene() throws -> (victim: Victim, patch: FilePath, target: [String]) {
        let program = try Program.compile("life")
        let victim = try startVictim(program)
        let patch = try Patch.build("life-fix", for: program)
        return (victim, patch, ["--pid", "\(victim.pid)"])
    }

    @Test func aStoppedProgramStaysStopped() throws {
        let (victim, patch, target) = try scene()
        let facts = ProcessFacts(victim)
        victim.signal(SIGSTOP)
        try wait(until: "the program is stopped") { try facts.state() == "T" }
        try Tool.expect(0, ["apply", patch.string] + target)
        try wait(until: "the program is stopped again") { try facts.state() == "T" }
        try victim.send("ask")
        try Tool.expect(0, ["revert", "life-fix"] + target)
        try Tool.expect(0, ["apply", patch.string] + target)
        #expect(try facts.state() == "T")
        victim.signal(SIGCONT)
        #expect(try victim.readLine() == "new")
    }

    @Test func aChildInheritsThePatch() throws {
        let (victim, patch, target) = try scene()
        try Tool.expect(0, ["apply", patch.string] + target)
        try victim.send("fork")
        let child = try victim.readLine(startingWith: "forked ")
        #expect(try victim.ask("child") == "new")
        try Tool.expect(0, ["status", "--pid", child], says: ["life-fix", "applied"])

        try Tool.expect(0, ["revert", "life-fix"] + target)
        #expect(try victim.ask("ask") == "old")
        #expect(try victim.ask("child") == "new")
        try Tool.expect(0, ["revert", "life-fix", "--pid", child])
        #expect(try victim.ask("child") == "old")
    }

    @Test func anExecEndsThePatch() throws {
        let (victim, patch, target) = try scene()
        try Tool.expect(0, ["apply", patch.string] + target)
        #expect(try victim.ask("ask") == "new")
        #expect(try victim.ask("exec") == "ready")
        #expect(try victim.ask("ask") == "old")
        try Tool.expect(0, ["status"] + target, says: ["No patch is applied"])
        try Tool.expect(0, ["apply", patch.string] + target)
        #expect(try victim.ask("ask") == "new")
    }

    @Test func aProgramWhoseFileIsGone() throws {
        let directory = try TemporaryDirectory()
        let copy = try Program.copy(Program.compile("life"), to: directory)
        let patch = try Patch.build("life-fix", for: copy)
        let victim = try startVictim(copy)
        try copy.remove()
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("ask") == "new")
        try Tool.expect(0, ["revert", "--all", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("ask") == "old")
    }

    /// An upgrade renames another build over the file; the process runs the old.
    @Test func aProgramWhoseFileWasReplaced() throws {
        let directory = try TemporaryDirectory()
        let copy = try Program.copy(Program.compile("life"), to: directory)
        let upgrade = try Program.compile("life", flags: ["-O1"])
        let patch = try Patch.build("life-fix", for: copy)
        let patchOfUpgrade = try Patch.build("life-fix", for: upgrade)
        let victim = try startVictim(copy)
        let next = directory.path.appending("next")
        try next.write(try upgrade.bytes(), permissions: [.ownerReadWriteExecute])
        try next.rename(to: copy)

        try Tool.expect(
            2, ["apply", patchOfUpgrade.string, "--pid", "\(victim.pid)"],
            says: ["no object of the process is build"])
        #expect(try victim.ask("ask") == "old")
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("ask") == "new")
    }
}
