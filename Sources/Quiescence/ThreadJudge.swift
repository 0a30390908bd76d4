import Addresses
import CUnwind
import LiveProcess

/// Judges the threads of a process as they stop: does one stand in guarded code,
/// or will it return there?
///
/// All memory is allocated beforehand, since threads stand still while this runs.
public struct ThreadJudge {
    /// A hit, without what takes time to find out: that is looked up when all run
    /// again.
    private struct Hit {
        let thread: ThreadID
        var stretch: GuardedCode.Stretch
        var place: Activity.Place
        var isCertain = false
        var frame: RemoteAddress?
        /// Which of `recorded` are the thread's frames; nil where they were not followed.
        var frames: Range<Int>?
        var isComplete = false

        /// Takes note of live frames in guarded code. They come from the innermost
        /// to the outermost, and the last one counts: it is left last.
        mutating func take(_ frames: ArraySlice<cunwind_frame>, _ guarded: GuardedCode) {
            for index in frames.indices {
                let found = frames[index]
                guard let stretch = guarded.stretch(at: found.counter) else { continue }
                self.stretch = stretch
                isCertain = true
                let counter = RemoteAddress(rawValue: found.counter)
                // A call pushes its return address (SDM vol. 2, CALL).
                let slot = RemoteAddress(rawValue: found.stack_pointer &- 8)
                place =
                    found.is_return_address
                    ? .stack(slot: slot, value: counter) : .programCounter(counter)
                let caller = index + 1
                frame =
                    caller < frames.endIndex
                    ? RemoteAddress(rawValue: frames[caller].stack_pointer) : nil
            }
        }
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
    /// The frames of all threads that were hit.
    private var recorded: [cunwind_frame] = []
    private let watched: [ThreadID]
    /// Those of the watched threads that were found out of the way.
    public private(set) var left: [ThreadID] = []

    /// Stacks are read in pieces of 64 KiB.
    private static let pieceLength = 8192

    /// - Parameter watched: threads that were found in guarded code before.
    public init(
        _ guarded: GuardedCode, process: TargetProcess, map: MemoryMap, frames: CallChains?,
        watched: [ThreadID] = []
    ) {
        self.guarded = guarded
        sites = guarded.sites
        self.process = process
        self.frames = frames
        self.map = map
        self.watched = watched
        words = Array(repeating: 0, count: Self.pieceLength)
        hits.reserveCapacity(Self.mostHits)
        left.reserveCapacity(watched.count)
        if frames != nil { recorded.reserveCapacity(CallChains.capacity) }
    }

    public var isQuiet: Bool { hits.isEmpty }
    /// Whether more threads are in the way than anybody wants to read about: a stop
    /// that comes to nothing should be short.
    public var isFull: Bool { hits.count >= Self.mostHits }
    public static let mostHits = 16

    /// Looks at a thread that has just stopped; whether it is out of the way.
    public mutating func isQuiet(_ thread: StoppedThread) -> Bool {
        let registers = thread.registers
        let counter = registers.programCounter
        // A worker of the kernel in the process (io_uring) never runs its code.
        if counter.rawValue == 0, registers.stackPointer.rawValue == 0 { return true }
        var found: Hit?
        if let stretch = guarded.stretch(at: counter.rawValue) {
            found = Hit(
                thread: thread.id, stretch: stretch, place: .programCounter(counter),
                isCertain: true)
        } else {
            found = firstHit(on: thread, guarded)
        }
        if let hit = found { found = followed(hit, on: thread) }
        guard let found else {
            if watched.contains(thread.id) { left.append(thread.id) }
            return true
        }
        hits.append(found)
        return false
    }

    /// What is left of a hit when the thread's frames have been followed: nil where
    /// they say that it was left there by calls that have returned.
    private mutating func followed(_ hit: Hit, on thread: StoppedThread) -> Hit? {
        guard let frames else { return hit }
        var hit = hit
        let first = recorded.count
        // Of a thread that is in the way for certain, the frames are for people.
        let limit = hit.isCertain ? Self.shownFrames : CallChains.limit
        hit.isComplete = frames.follow(thread, limit: limit, appendingTo: &recorded)
        hit.take(recorded[first...], guarded)
        hit.frames = first..<recorded.count
        guard !hit.isCertain, hit.isComplete, let outermost = recorded[first...].last,
            case .stack = hit.place, hit.stretch.degree == .function
        else { return hit }
        // No frame is in guarded code.
        let top = RemoteAddress(rawValue: outermost.stack_pointer)
        guard var rest = unexplained(on: thread, outermost: top) else {
            recorded.removeSubrange(first...)
            return nil
        }
        (rest.frames, rest.isComplete) = (hit.frames, hit.isComplete)
        return rest
    }

    private static let shownFrames = 256

    /// What frames that were followed to their end do not explain: words in the
    /// bytes to be rewritten, which are never argued with, and words above the
    /// outermost frame. On a coroutine's stack the frames end without those that
    /// it interrupted on the ordinary one.
    private mutating func unexplained(
        on thread: StoppedThread, outermost: RemoteAddress
    ) -> Hit? {
        if let site = firstHit(on: thread, sites) { return site }
        let isFirst = thread.id.rawValue == process.id.rawValue
        guard let stack = map.stack(of: thread.registers, isFirst: isFirst),
            case let home = stack.ordinary ?? stack.inUse, home.contains(outermost)
        else { return firstHit(on: thread, guarded) }
        return firstHit(on: thread, guarded) { $0 >= outermost && home.contains($0) }
    }

    /// What was found, with the threads' names. For when the threads run again.
    public func activities() -> [Activity] {
        hits.map { hit in
            Activity(
                thread: hit.thread, threadName: process.name(of: hit.thread) ?? "?",
                stretch: hit.stretch, place: hit.place, isCertain: hit.isCertain,
                frame: hit.frame,
                backtrace: hit.frames.map {
                    Backtrace(recorded[$0], isComplete: hit.isComplete)
                })
        }
    }

    /// The first word of the thread's stacks that lies in guarded code. Where they
    /// cannot be read, as of a thread that was born after the mappings were read,
    /// that is one too: the next try will know more.
    private mutating func firstHit(
        on thread: StoppedThread, _ guarded: GuardedCode,
        where counts: (RemoteAddress) -> Bool = { _ in true }
    ) -> Hit? {
        var hit: Hit?
        let reading = process.showStacks(of: thread, in: map, buffer: &words) { words, start in
            var position = 0
            while let (index, stretch) = guarded.firstHit(inStack: words, from: position) {
                let slot = RemoteAddress(rawValue: start.rawValue &+ UInt64(index) * 8)
                position = index + 1
                guard counts(slot) else { continue }
                let value = RemoteAddress(rawValue: words[index])
                hit = Hit(
                    thread: thread.id, stretch: stretch,
                    place: .stack(slot: slot, value: value))
                return false
            }
            return true
        }
        if case .unreadable = reading, hit == nil, let any = guarded.stretches.first {
            hit = Hit(
                thread: thread.id, stretch: any,
                place: .unknownStack(thread.registers.stackPointer))
        }
        return hit
    }
}
