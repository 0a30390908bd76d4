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
    private let sites: GuardedCode
    private let process: TargetProcess
    /// Tells live frames from leftovers; nil: what looks like a frame is one.
    private let frames: CallChains?
    /// The mappings as they were just before the stop.
    private let map: MemoryMap
    private var words: [UInt64]
    private var hits: [Hit] = []

    /// Stacks are read in pieces of 64 KiB.
    private static let pieceLength = 8192

    public init(
        _ guarded: GuardedCode, process: TargetProcess, map: MemoryMap, frames: CallChains?
    ) {
        self.guarded = guarded
        sites = guarded.sites
        self.process = process
        self.frames = frames
        self.map = map
        words = Array(repeating: 0, count: Self.pieceLength)
        hits.reserveCapacity(64)
    }

    public var isQuiet: Bool { hits.isEmpty }

    /// Looks at a thread that has just stopped; whether it is out of the way.
    public mutating func isQuiet(_ thread: StoppedThread) -> Bool {
        let registers = thread.registers
        let counter = registers.programCounter
        // A worker of the kernel in the process (io_uring) never runs its code.
        if counter.rawValue == 0, registers.stackPointer.rawValue == 0 { return true }
        if let stretch = guarded.stretch(at: counter.rawValue) {
            hits.append(Hit(thread: thread.id, stretch: stretch, place: .programCounter(counter)))
            return false
        }
        guard let place = firstHit(on: thread, guarded) else { return true }
        // A word in the bytes to be rewritten is never argued with.
        if isLeftover(place, on: thread) {
            guard let site = firstHit(on: thread, sites) else { return true }
            hits.append(site)
        } else {
            hits.append(place)
        }
        return false
    }

    /// Whether all frames of the thread are known, and none is in guarded code:
    /// what its stack says otherwise was left there by calls that have returned.
    private func isLeftover(_ hit: Hit, on thread: StoppedThread) -> Bool {
        guard case .stack = hit.place, let frames else { return false }
        // On a coroutine's stack the chain ends without what it interrupted on the
        // ordinary one.
        let isFirst = thread.id.rawValue == process.id.rawValue
        guard let stack = map.stack(of: thread.registers, isFirst: isFirst),
            stack.ordinary == nil
        else { return false }
        return frames.areFree(of: guarded, on: thread)
    }

    /// What was found, with the threads' names. For when the threads run again.
    public func activities() -> [Activity] {
        hits.map { hit in
            Activity(
                thread: hit.thread, threadName: process.name(of: hit.thread) ?? "?",
                stretch: hit.stretch, place: hit.place)
        }
    }

    /// The first word of the thread's stacks that lies in guarded code. Where they
    /// cannot be read, as of a thread that was born after the mappings were read,
    /// that is one too: the next try will know more.
    private mutating func firstHit(on thread: StoppedThread, _ guarded: GuardedCode) -> Hit? {
        var hit: Hit?
        let reading = process.showStacks(of: thread, in: map, buffer: &words) { words, start in
            guard let (index, stretch) = guarded.firstHit(inStack: words) else { return true }
            let slot = RemoteAddress(rawValue: start.rawValue &+ UInt64(index) * 8)
            let value = RemoteAddress(rawValue: words[index])
            hit = Hit(
                thread: thread.id, stretch: stretch, place: .stack(slot: slot, value: value))
            return false
        }
        if case .unreadable = reading, hit == nil, let any = guarded.stretches.first {
            hit = Hit(
                thread: thread.id, stretch: any,
                place: .unknownStack(thread.registers.stackPointer))
        }
        return hit
    }
}
