import JSONText
import SystemPackage
import TestSupport
import Testing

/// Programs as they are shipped: `strip` has taken their names, and the objects before
/// the change tell what is where.
@Suite struct StrippedBaseTests {
    /// The program of `Tests/Fixtures/changes/ledger.c` without names.
    private static func stripped(_ objects: ChangedProgram) throws -> FilePath {
        let base = objects.folder.appending("ledger")
        let command = try Command.run("strip", ["-o", base.string, objects.base.string])
        try #require(command.succeeded, "\(command.errorOutput)")
        return base
    }

    private static func arguments(
        _ objects: ChangedProgram, base: FilePath, output: FilePath
    ) -> [String] {
        ["diff", "--base", base.string, "--before", objects.before.string]
            + ["--after", objects.after.string, "-o", output.string]
    }

    @Test(arguments: SourceChangeTests.changes.filter { !$0.replaces.contains("main") })
    func aChangeGoesLive(_ change: SourceChangeTests.Change) throws {
        let objects = try ChangedProgram.objects(change.number)
        let base = try Self.stripped(objects)
        let output = objects.folder.appending("change.hpatch")
        try Tool.expect(
            0, Self.arguments(objects, base: base, output: output), says: ["Made"])
        let functions = try Tool.json(["show", output.string]).member("patch")
            .member("functions")
        #expect(
            try functions.elements().map { try $0.member("symbol").string() }.sorted()
                == change.replaces)
        let victim = try startVictim(base)
        let target = ["--pid", "\(victim.pid)"]
        for question in change.questions {
            #expect(try victim.ask(question.ask) == question.old)
            try Tool.expect(0, ["apply", output.string] + target)
            try Tool.expect(0, ["status"] + target, says: ["change", "applied"])
            #expect(try victim.ask(question.ask) == question.new)
            try Tool.expect(0, ["revert", "change"] + target)
        }
    }

    /// The other copies of what is replaced are in nobody's debug information.
    @Test func whatCannotBeKnownIsSaid() throws {
        let objects = try ChangedProgram.objects(8)
        let base = try Self.stripped(objects)
        let output = objects.folder.appending("change.hpatch")
        let result = try Tool.run(Self.arguments(objects, base: base, output: output))
        #expect(result.code == 0)
        #expect(result.errorOutput.contains("debug information"), "\(result.errorOutput)")
    }
}
