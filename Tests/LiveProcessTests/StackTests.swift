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
                    let used = words(stack.inUse, of: target.process)
                    guard
                        let (frame, _) = SignalFrame.next(
                            in: used, count: used.count, from: 0, base: stack.inUse.start),
                        frame.alternateStack?.contains(frame.address) == true,
                        ordinary.contains(frame.stackPointer),
                        let rest = AddressRange(start: frame.stackPointer, end: ordinary.end)
                    else { continue }
                    found[thread.id] = (
                        used.contains { function.contains($0) },
                        words(rest, of: target.process).contains { function.contains($0) }
                    )
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

    @Test func wordsThatAreNoFrameAreNone() {
        let base = RemoteAddress(rawValue: 0x1000)
        for count in [0, 1, 29, 30, 31, 100] {
            let zeros = [UInt64](repeating: 0, count: count)
            let ones = [UInt64](repeating: .max, count: count)
            #expect(SignalFrame.next(in: zeros, count: count, from: 0, base: base) == nil)
            #expect(SignalFrame.next(in: ones, count: count + 5, from: 3, base: base) == nil)
            #expect(SignalFrame.next(in: ones, count: count, from: -1, base: base) == nil)
        }
    }
}
