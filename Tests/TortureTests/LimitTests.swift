import Switchover
import TestSupport
import Testing
import TortureEngine

/// A limit of address space is lifted for the moment in which a payload is mapped.
@Suite struct LimitTests {
    private static let soft = "1000000"

    private func softLimit(of scene: Scene) throws -> String {
        let limit = try Command.run(
            "prlimit",
            ["--pid", "\(scene.victim.pid)", "--as", "--raw", "--noheadings", "--output", "SOFT"])
        return limit.output.filter(\.isNumber)
    }

    /// Killed in that moment, the tool leaves a note of what the limit was.
    @Test func aKilledToolLeavesNoLimitLifted() throws {
        var random = Mutator(seed: UInt64.random(in: 0..<1 << 32))
        var (kills, lifted) = (0, 0)
        while kills < 60 {
            let scene = try Scene()
            let set = try Command.run(
                "prlimit", ["--pid", "\(scene.victim.pid)", "--as=\(Self.soft):4000000000"])
            try #require(set.succeeded, Comment(rawValue: set.errorOutput))
            let worker = try Worker(for: scene.victim.pid, patches: [scene.patch])
            // Until it comes through, after which nothing is mapped any more.
            while case .killed = try worker.perform(
                .apply("entered-fix"), .at(.filling, random.next() % 12_000_000))
            {
                kills += 1
                if try softLimit(of: scene) != Self.soft { lifted += 1 }
                #expect(try worker.perform(.recover) == .done)
                #expect(try softLimit(of: scene) == Self.soft)
                try scene.remains.expectNoTracedThread()
            }
            #expect(try softLimit(of: scene) == Self.soft)
        }
        print("killed with the limit lifted: \(lifted) of \(kills)")
    }
}
