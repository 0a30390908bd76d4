import Switchover
import TestSupport
import Testing
import TortureEngine

/// Until somebody tidies up, an interrupted switch of several functions leads their
/// callers through entry instructions that were moved into the payload.
@Suite struct MovedEntryTests {
    @Test func whoCameInThatWayIsInTheOriginal() throws {
        let scene = try Scene()
        let victim = scene.victim
        let worker = try Worker(for: victim.pid, patches: [scene.patch])

        let apply = Operation.apply("entered-fix")
        #expect(try worker.perform(apply, .at(.deciding, 0)) == .killed(.deciding))
        #expect(try victim.ask("enter") == "inside")
        #expect(try worker.perform(.recover) == .done)
        // It waits below the moved call, and will ask the other function later.
        let refused = try Command.run(
            scene.arguments[0], scene.arguments.dropFirst() + ["--timeout", "0.2"])
        #expect(refused.code == 3, Comment(rawValue: refused.output + refused.errorOutput))
        #expect(refused.errorOutput.contains("'outer'"), Comment(rawValue: refused.errorOutput))
        #expect(try victim.ask("leave") == "1")

        #expect(try worker.perform(apply) == .done)
        #expect(try victim.ask("enter") == "inside")
        #expect(try victim.ask("leave") == "2")
    }
}
