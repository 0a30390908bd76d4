import Switchover
import SystemPackage
import TestSupport
import Testing
import TortureEngine

/// Until somebody tidies up, an interrupted switch of several functions leads their
/// callers through entry instructions that were moved into the payload.
@Suite struct MovedEntryTests {
    @Test func whoCameInThatWayIsInTheOriginal() throws {
        let directory = try TemporaryDirectory()
        let sources = Fixture.sources.appending("torture")
        let program = directory.path.appending("entered")
        try Fixture.compile(
            source: sources.appending("entered.c"), to: program, flags: ["-O2", "-g"])
        let patch = directory.path.appending("entered-fix.hpatch")
        let tool = try BuiltProduct.path("hotpatch").string
        let built = try Command.run(
            tool,
            [
                "build", "--base", program.string, "-o", patch.string,
                sources.appending("entered-fix.c").string,
            ])
        try #require(built.succeeded, Comment(rawValue: built.errorOutput))
        let victim = try Victim(program)
        #expect(try victim.readLine() == "ready")
        let worker = try Worker(for: victim.pid, patches: [patch])

        let apply = Operation.apply("entered-fix")
        #expect(try worker.perform(apply, .at(.deciding, 0)) == .killed(.deciding))
        #expect(try victim.ask("enter") == "inside")
        #expect(try worker.perform(.recover) == .done)
        // It waits below the moved call, and will ask the other function later.
        let refused = try Command.run(
            tool, ["apply", patch.string, "--pid", "\(victim.pid)", "--timeout", "0.2"])
        #expect(refused.code == 3, Comment(rawValue: refused.output + refused.errorOutput))
        #expect(refused.errorOutput.contains("'outer'"), Comment(rawValue: refused.errorOutput))
        #expect(try victim.ask("leave") == "1")

        #expect(try worker.perform(apply) == .done)
        #expect(try victim.ask("enter") == "inside")
        #expect(try victim.ask("leave") == "2")
    }
}
