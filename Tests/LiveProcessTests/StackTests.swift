import Addresses
import LiveProcess
import TestSupport
import Testing

@Suite struct StackTests {
    /// The words of a stopped thread's stack, from its stack pointer up.
    private func words(
        _ range: AddressRange<RemoteAddress>, of target: TargetProcess
    ) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: Int(range.count / 8))
        let count = target.readWords(at: range.start, into: &words)
        return Array(words[..<count])
    }

    @Test func bothStacksOfAThreadInAHandlerAreKnown() throws {
        let target = try StartedTarget("altstack")
        let address = try #require(UInt64(target.greeting.dropFirst(3), radix: 16))
        let function = address..<(address + 24)
        // The first thread comes to its handler after it has said "ready".
        while true {
            let map = try target.process.memoryMap()
            var found: [ThreadID: (here: Bool, below: Bool)] = [:]
            _ = try target.process.withAllThreadsStopped { process in
                for thread in process.threads {
                    let isFirst = thread.id.rawValue == target.victim.pid
                    guard let stack = map.stack(of: thread.registers, isFirst: isFirst),
                        let ordinary = stack.ordinary
                    else { continue }
                    let holds = { range in
                        words(range, of: target.process).contains { function.contains($0) }
                    }
                    found[thread.id] = (holds(stack.inUse), holds(ordinary))
                }
            }
            guard found.count == 2 else { continue }
            #expect(found.values.allSatisfy { !$0.here && $0.below })
            return
        }
    }

    @Test func anOrdinaryStackIsKnown() throws {
        let target = try StartedTarget("threads", ["4"])
        let map = try target.process.memoryMap()
        _ = try target.process.withAllThreadsStopped { process in
            for thread in process.threads {
                let stack = map.stack(
                    of: thread.registers, isFirst: thread.id.rawValue == target.victim.pid)
                #expect(stack?.inUse.start == thread.registers.stackPointer)
                #expect(stack?.ordinary == nil)
                #expect((stack?.inUse.count ?? 0) < 65536)
            }
        }
    }
}
