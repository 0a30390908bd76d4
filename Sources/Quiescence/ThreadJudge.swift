import Addresses
import LiveProcess

/// Judges the threads of a process as they stop: does one stand in guarded code,
/// or will it return there?
///
/// All memory is allocated beforehand, since threads stand still while this runs.
public struct ThreadJudge {
    /// A hit, without the thread's name, which is looked up when all run again.
    private struct Hit {
        let thread: ThreadID
        let stretch: GuardedCode.Stretch
        let place: Activity.Place
    }

    private let guarded: GuardedCode
    private let process: TargetProcess
    /// The mappings as they were just before the stop.
    private let map: MemoryMap
    private var words: [UInt64]
    private var hits: [Hit] = []

    /// Stacks are read in pieces of 64 KiB.
    private static let pieceLength = 8192
    /// As far as a stack is followed whose bounds are not known.
    private static let unknownStackLimit: UInt64 = 64 << 20

    public init(_ guarded: GuardedCode, process: TargetProcess, map: MemoryMap) {
        self.guarded = guarded
        self.process = process
        self.map = map
        words = Array(repeating: 0, count: Self.pieceLength)
        hits.reserveCapacity(64)
    }

    public var isQuiet: Bool { hits.isEmpty }

    /// Looks at a thread that has just stopped; whether it is out of the way.
    public mutating func isQuiet(_ thread: StoppedThread) -> Bool {
        let registers = thread.registers
        let counter = registers.programCounter
        if let stretch = guarded.stretch(at: counter.rawValue) {
            hits.append(Hit(thread: thread.id, stretch: stretch, place: .programCounter(counter)))
            return false
        }
        for stack in stacks(of: thread) {
            if let hit = firstHit(in: stack, of: thread.id) {
                hits.append(hit)
                return false
            }
        }
        return true
    }

    /// What was found, with the threads' names. For when the threads run again.
    public func activities() -> [Activity] {
        hits.map { hit in
            Activity(
                thread: hit.thread, threadName: process.name(of: hit.thread) ?? "?",
                stretch: hit.stretch, place: hit.place)
        }
    }

    /// The live part of the thread's stack, and where it is on another one (a
    /// signal handler's, a coroutine's), all of its ordinary stack too: what it
    /// interrupted there has its frames anywhere on it.
    private func stacks(of thread: StoppedThread) -> [AddressRange<RemoteAddress>] {
        let registers = thread.registers
        let pointer = registers.stackPointer
        let isFirst = thread.id.rawValue == process.id.rawValue
        let ordinary =
            isFirst
            ? map.region(named: "[stack]")?.range
            : stack(below: registers.threadPointer)
        guard let ordinary, ordinary.contains(pointer) else {
            let current = AddressRange(start: pointer, end: end(ofStackAt: pointer))
            return [current, ordinary].compactMap(\.self)
        }
        return [AddressRange(start: pointer, end: ordinary.end)].compactMap(\.self)
    }

    /// The stack of a thread other than the first lies right below its control
    /// block in one mapping (glibc's and musl's pthread_create).
    private func stack(below threadPointer: RemoteAddress) -> AddressRange<RemoteAddress>? {
        guard let region = map.region(at: threadPointer), region.isWritable else { return nil }
        let lowest = max(
            region.range.start.rawValue,
            threadPointer.rawValue - min(threadPointer.rawValue, Self.unknownStackLimit))
        return AddressRange(start: RemoteAddress(rawValue: lowest), end: threadPointer)
    }

    private func end(ofStackAt pointer: RemoteAddress) -> RemoteAddress {
        let farthest = pointer.advanced(by: Self.unknownStackLimit) ?? pointer
        // A mapping made since the map was read is followed as far as it is readable.
        guard let region = map.region(at: pointer) else { return farthest }
        return min(region.range.end, farthest)
    }

    private mutating func firstHit(
        in stack: AddressRange<RemoteAddress>, of thread: ThreadID
    ) -> Hit? {
        var position = RemoteAddress(rawValue: stack.start.rawValue & ~7)
        while let rest = stack.end.distance(from: position), rest >= 8 {
            let wanted = Int(min(rest / 8, UInt64(Self.pieceLength)))
            let count = process.readWords(at: position, count: wanted, into: &words)
            if let (index, stretch) = guarded.firstHit(inStack: words.span.extracting(0..<count)) {
                let slot = RemoteAddress(rawValue: position.rawValue &+ UInt64(index) * 8)
                return Hit(
                    thread: thread, stretch: stretch,
                    place: .stack(slot: slot, value: RemoteAddress(rawValue: words[index])))
            }
            guard count == wanted, let next = position.advanced(by: UInt64(count) * 8) else {
                return nil
            }
            position = next
        }
        return nil
    }
}
