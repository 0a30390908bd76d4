import Glibc
import LiveProcess
import Synchronization
import SystemPackage

/// One program that starts, or one library that is opened, from the kernel's question
/// until the thread runs on.
final class Start: Sendable {
    enum Phase: UInt8, Sendable {
        /// Nobody has looked at it yet.
        case asked
        /// PTRACE_SEIZE has begun.
        case seizing
        /// It has its answer, or nothing is wanted of it.
        case answered
        /// It stands still while it is patched.
        case held
        case done
    }

    let question: StartQuestion
    private let state = Atomic<UInt8>(Phase.asked.rawValue)
    /// When the phase began, in nanoseconds.
    private let changed = Atomic<UInt64>(monotonicNanoseconds())
    /// The OS thread that serves it; 0 before there is one.
    let server = Atomic<Int32>(0)

    init(_ question: StartQuestion) { self.question = question }

    var phase: Phase { Phase(rawValue: state.load(ordering: .acquiring)) ?? .done }

    func enter(_ phase: Phase) {
        changed.store(monotonicNanoseconds(), ordering: .relaxed)
        state.store(phase.rawValue, ordering: .releasing)
    }

    /// Nanoseconds since the phase began.
    var age: UInt64 { monotonicNanoseconds() &- changed.load(ordering: .relaxed) }
}

/// The starts that are being served, and how long each may take.
final class StartsInFlight: Sendable {
    /// So many at once, of which each takes a thread. What comes beyond goes on at once
    /// and is patched afterwards.
    static let mostAtOnce = 128
    /// Where no descriptor is left for a question, the kernel answers it with no: each
    /// start has so many of its own, and so many are left to everything else.
    static let descriptorsOfStart = 16
    static let descriptorsOfRest = 128
    /// A question is answered after this time at the latest, in nanoseconds.
    static let longestQuestion: UInt64 = 1_000_000_000
    /// PTRACE_SEIZE that sleeps longer waits for the exec that waits for the answer.
    static let longestSleepInSeize: UInt64 = 3_000_000
    /// From the answer until the thread stops. It does not stand still meanwhile.
    static let longestWayToStop: UInt64 = 5_000_000_000
    /// From the question until the thread runs on.
    static let longestHold: UInt64 = 1_800_000_000

    private let limit: Int
    private let starts = Mutex<[Start]>([])

    /// - Parameter descriptors: how many this process may have.
    init(descriptors: Int) { limit = Self.limit(descriptors: descriptors) }

    /// How many starts can be served at once; too few to serve any where it is 0.
    static func limit(descriptors: Int) -> Int {
        min(mostAtOnce, max(0, descriptors - descriptorsOfRest) / descriptorsOfStart)
    }

    /// nil where there are too many already.
    func begin(_ question: StartQuestion) -> Start? {
        starts.withLock { starts in
            guard starts.count < limit else { return nil }
            let start = Start(question)
            starts.append(start)
            return start
        }
    }

    func end(_ start: Start) {
        start.enter(.done)
        start.question.allow()
        starts.withLock { starts in starts.removeAll { $0 === start } }
    }

    var isEmpty: Bool { starts.withLock { $0.isEmpty } }

    /// Whether some thread waits for this process at this moment.
    var keepAnyoneWaiting: Bool {
        starts.withLock { starts in
            starts.contains { !$0.question.isAnswered || $0.phase == .held }
        }
    }

    /// Answers what has waited for too long. Returns the starts that stand still for
    /// longer than they may: only the end of this process lets those go.
    func attend() -> [Start] {
        let now = monotonicNanoseconds()
        let all = starts.withLock { $0 }
        for start in all where !start.question.isAnswered {
            let isOverdue = now &- start.question.asked > Self.longestQuestion
            if isOverdue || start.sleepsInSeize { start.question.allow() }
        }
        return all.filter {
            $0.phase == .held && now &- $0.question.asked > Self.longestHold
        }
    }
}

extension Start {
    /// The exec holds the lock that PTRACE_SEIZE waits for, and waits for the answer.
    fileprivate var sleepsInSeize: Bool {
        guard phase == .seizing, age > StartsInFlight.longestSleepInSeize else { return false }
        return ThreadID(rawValue: server.load(ordering: .relaxed)).sleepsInThisProcess
    }
}
