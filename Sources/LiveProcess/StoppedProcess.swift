import Addresses
import SystemPackage

/// One thread of a process that stands still.
public struct StoppedThread: Sendable {
    public let id: ThreadID
    /// As the thread will find them when it goes on.
    public var registers: Registers { storage }
    /// It was running, or ready to, when the stop began; otherwise it was asleep
    /// in the kernel.
    public let wasRunning: Bool

    var storage: Registers
}

/// What a caller finds in one stopped thread.
public enum Judgement: Sendable {
    case fine
    /// Let all threads go at once: this thread is where it must not be.
    case giveUp
}

/// How a stop of all threads is to be made.
public struct StopOptions: Sendable {
    /// Nanoseconds that a thread may take to stop before the stop is given up.
    public var patience: UInt64 = 1_000_000_000
    /// Nanoseconds that it may stay where it cannot be interrupted.
    public var uninterruptiblePatience: UInt64 = 5_000_000
    /// Whether to run at real-time priority while threads are stopped.
    public var atRealTimePriority = true

    public init() {}
}

/// What a stop was like.
public struct StopReport: Sendable {
    public internal(set) var threadCount = 0
    public internal(set) var runningCount = 0
    /// false where real-time priority was wanted and refused: the threads may
    /// have stood still much longer.
    public internal(set) var hadRealTimePriority = true
    /// When the first thread was asked to stop, in nanoseconds of CLOCK_MONOTONIC.
    public internal(set) var began: UInt64 = 0
    /// Nanoseconds from the first PTRACE_INTERRUPT of a running thread to the
    /// release of the last of them.
    public internal(set) var runnersStopped: UInt64 = 0
    /// Nanoseconds from the first PTRACE_INTERRUPT to the last release.
    public internal(set) var allStopped: UInt64 = 0

    /// How long threads that were running stood still; where none was, all.
    public var stallMicroseconds: Int64 {
        Int64(clamping: (runningCount > 0 ? runnersStopped : allStopped) / 1000)
    }
}

/// How a stop of all threads ended. The threads run again in either case.
public enum StopOutcome<R> {
    case done(R, StopReport)
    /// A judgement was ``Judgement/giveUp``.
    case givenUp(StopReport)
}

/// A process all of whose threads stand still. It exists only within
/// ``TargetProcess/withAllThreadsStopped(_:judging:_:)``.
///
/// While it exists nothing slow must be done: no file opened, no memory
/// allocated in quantity, nothing decoded.
public struct StoppedProcess: ~Copyable {
    public let target: TargetProcess
    /// Those that were asleep first, then those that ran.
    public let threads: [StoppedThread]

    init(_ target: TargetProcess, _ threads: [StoppedThread]) {
        self.target = target
        self.threads = threads
    }

    /// Writes to memory whatever its protection, with one write, and reads back.
    /// Within a page the write is not split, even if the tool is killed.
    ///
    /// Throws `unwritable` (then nothing was changed), `writeNotSeen`, `ended` or
    /// `programChanged`.
    public mutating func write(
        _ bytes: [UInt8], at address: RemoteAddress
    ) throws(LiveProcessError) {
        try target.writeText(
            bytes, at: address, tracee: threads.first.map { Tracee(id: $0.id.rawValue) })
    }
}

extension TargetProcess {
    /// Stops all threads, runs `body`, and lets them go.
    ///
    /// Threads that are asleep in the kernel are stopped and judged first, while
    /// the others run on; those that run are stopped last and let go first. Each
    /// thread is shown to `judge` once, right after it has stopped; the words of
    /// its stack can be read then with ``readWords(at:count:into:)``. `rehearse` is
    /// called right before those that run are stopped: what it reads, `body` reads
    /// faster.
    ///
    /// `judge` and `body` run on an OS thread of their own, at real-time priority.
    /// Have all memory that they need allocated before.
    ///
    /// Of a process that was found by ``find(heldBy:)``, the held thread alone stands,
    /// before as after. It is not judged: it has run nothing of what is written to.
    ///
    /// Throws `cannotStopNow`, `alreadyTraced`, `notPermitted`, `ended` or
    /// `programChanged`; all threads run then.
    public func withAllThreadsStopped<R>(
        _ options: StopOptions = StopOptions(),
        judging judge: (StoppedThread) -> Judgement = { _ in .fine },
        rehearsing rehearse: () -> Void = {},
        _ body: (inout StoppedProcess) -> R
    ) throws(LiveProcessError) -> StopOutcome<R> {
        if let held { return try whileHeld(held, body) }
        let outcome: Result<StopOutcome<R>, LiveProcessError>
        do throws(Errno) {
            let watch = SeizeWatch(self)
            outcome = try TracerThread.run(watch) {
                do throws(LiveProcessError) {
                    var session = try StopSession(self, options, watch)
                    return .success(try session.run(judge, rehearsing: rehearse, body))
                } catch {
                    return .failure(error)
                }
            }
        } catch {
            throw .system(id, action: "start a tracing thread", error)
        }
        return try outcome.get()
    }

    private func whileHeld<R>(
        _ held: HeldThread, _ body: (inout StoppedProcess) -> R
    ) throws(LiveProcessError) -> StopOutcome<R> {
        var report = StopReport()
        report.began = monotonicNanoseconds()
        report.threadCount = 1
        let thread = StoppedThread(
            id: held.id, wasRunning: false, storage: try held.registers())
        var process = StoppedProcess(self, [thread])
        let value = body(&process)
        report.allStopped = monotonicNanoseconds() &- report.began
        return .done(value, report)
    }
}
