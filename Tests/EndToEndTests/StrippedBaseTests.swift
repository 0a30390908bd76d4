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
    func aChangeGoesLive(_ change: LiveChange) throws {
        let objects = try ChangedProgram.objects(change.number)
        let base = try Self.stripped(objects)
        let output = objects.folder.appending("change.hpatch")
        try Tool.expect(
            0, Self.arguments(objects, base: base, output: output), says: ["Made"])
        try change.expectReplacements(by: output)
        try change.goLive(output, in: try startVictim(base))
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
