import Switchover
import TestSupport
import Testing
import TortureEngine

/// A payload in anonymous memory, which only what it says of itself tells from the
/// program's own.
@Suite struct NamelessTests {
    @Test(.enabled(if: NamelessVictim.isAvailable, "takes a kernel of 6.3 and namespaces"))
    func aKilledToolDoesNoHarmWithoutFilesInMemory() throws {
        var random = Mutator(seed: UInt64.random(in: 0..<1 << 32))
        var kills: [String: Int] = [:]
        for _ in 0..<8 {
            let scene = try Scene(isNameless: true)
            let worker = try Worker(for: scene.pid, patches: [scene.patch])
            for phase in [SwitchPhase.mapping, .mapping, .mapping, .noting, .comparing] {
                let outcome = try worker.perform(
                    .apply("entered-fix"), .at(phase, random.next() % 10_000_000))
                guard case .killed(let last?) = outcome else { break }
                kills["\(last)", default: 0] += 1
                try scene.remains.expectNoTracedThread()
                let isApplied = try scene.isApplied()
                #expect(try worker.perform(.recover) == .done)
                #expect(try scene.isApplied() == isApplied)
                try scene.remains.expectClean(isApplied ? ["entered-fix"] : [])
                if isApplied { break }
            }
        }
        #expect(!kills.isEmpty)
        print("killed without files in memory: \(kills)")
    }
}
