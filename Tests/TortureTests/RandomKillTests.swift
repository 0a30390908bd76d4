import TestSupport
import Testing
import TortureEngine

/// A share of what `make torture` does, with a new seed each time.
@Suite(.serialized) struct RandomKillTests {
    /// Each with a victim of its own.
    private static let batches: UInt64 = 40
    private static let killsEach = 25

    @Test func aKilledToolDoesNoHarm() throws {
        let programs = try Programs()
        let seed = UInt64.random(in: 0..<1 << 32)
        var sum = Tally()
        for batch in 0..<Self.batches {
            var torturer = try Torturer(programs, seed: seed + batch)
            do throws(Violation) { try torturer.run(kills: Self.killsEach) } catch {
                let again = "make torture COUNT=\(Self.killsEach) SEED=\(seed + batch)"
                Issue.record("\(error.kind.rawValue): \(error)\nnearly the same: \(again)")
            }
            sum.add(torturer.tally)
        }
        print("torture with seed \(seed):\n\(sum.text)")
    }
}
