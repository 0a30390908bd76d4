import CLinuxTrace
import Glibc
import SystemPackage
import Threads

/// One stop of all threads, made by an OS thread that ends with it: whatever is
/// still traced then, the kernel lets go.
struct StopSession: ~Copyable {
    private let target: TargetProcess
    private let options: StopOptions
    private let watch: SeizeWatch
    private var tasks: TaskList
    private var sharers: MemorySharers
    private var report = StopReport()
    private let processorCount = WorkerThreads.processorCount

    private var sleepers: [ThreadID] = []
    private var runners: [ThreadID] = []
    /// The first thread may have ended before the others; it cannot be traced
    /// then, but it is counted.
    private var firstThreadIsDead = false

    /// What was seen to be in the way before anything was touched.
    private var obstacle: StopObstacle?

    /// Sleepers first, then those that ran.
    private var stopped: [StoppedThread] = []
    /// When the first running thread was asked to stop; 0 before.
    private var runnersStart: UInt64 = 0
    /// Asked to stop, and not seen stopped yet.
    private var asked: [ThreadID] = []

    /// Looks at all threads, without touching them.
    init(
        _ target: TargetProcess, _ options: StopOptions, _ watch: SeizeWatch
    ) throws(LiveProcessError) {
        self.target = target
        self.options = options
        self.watch = watch
        try target.requireNoCoreDump()
        do throws(Errno) {
            var tasks = try TaskList(of: target)
            var member: ThreadID?
            for thread in try tasks.read() {
                switch tasks.state(of: thread) {
                case .none: continue
                case .dead:
                    if thread.rawValue == target.id.rawValue { firstThreadIsDead = true }
                    continue
                case .running: runners.append(thread)
                case .uninterruptible:
                    // Without a try it is known that it would not stop.
                    obstacle = obstacle ?? .uninterruptible(thread)
                case .sleeping, .stopped, .traced: sleepers.append(thread)
                }
                member = member ?? thread
            }
            sharers = try MemorySharers(
                of: target, comparing: member ?? ThreadID(rawValue: target.id.rawValue))
            self.tasks = tasks
        } catch {
            throw target.failure(error, "look at the threads of")
        }
    }

    /// The whole stop. On every way out all threads run again.
    mutating func run<R>(
        _ judge: (StoppedThread) -> Judgement, rehearsing rehearse: () -> Void,
        _ body: (inout StoppedProcess) -> R
    ) throws(LiveProcessError) -> StopOutcome<R> {
        if obstacle == nil,
            let sharer = try checked({ () throws(Errno) in try sharers.findAmongAll() })
        {
            obstacle = .memoryShared(with: sharer)
        }
        if let obstacle { throw .cannotStopNow(target.id, obstacle) }
        // Room for threads that are born meanwhile.
        stopped.reserveCapacity(sleepers.count + runners.count + 256)
        asked.reserveCapacity(sleepers.count + runners.count + 256)
        let priority = RealTimePriority(isWanted: options.atRealTimePriority)
        report.hadRealTimePriority = priority.isGranted
        // Whoever lost the processor to the work before this has it again first.
        Breather.rest()
        let start = monotonicNanoseconds()
        report.began = start
        let value: R?
        do throws(LiveProcessError) {
            value = try stopAll(judge, rehearsing: rehearse) ? perform(body) : nil
        } catch {
            settleRest()
            throw error
        }
        if value == nil { settleRest() }
        releaseAll()
        report.allStopped = monotonicNanoseconds() &- start
        // The work that follows has an ordinary priority, and must not begin by
        // keeping the processor that it has.
        Breather.rest()
        report.threadCount = stopped.count
        return value.map { .done($0, report) } ?? .givenUp(report)
    }

    private mutating func perform<R>(_ body: (inout StoppedProcess) -> R) -> R {
        var process = StoppedProcess(target, stopped)
        return body(&process)
    }

    private func checked<T>(_ action: () throws(Errno) -> T) throws(LiveProcessError) -> T {
        do throws(Errno) { return try action() } catch {
            throw target.failure(error, "stop")
        }
    }
}

// MARK: Stopping

extension StopSession {
    /// Sleepers first, runners last. Returns false where a judgement was to give up.
    private mutating func stopAll(
        _ judge: (StoppedThread) -> Judgement, rehearsing rehearse: () -> Void
    ) throws(LiveProcessError) -> Bool {
        guard try stopSleepers(judge) else { return false }
        if !runners.isEmpty {
            try self.rehearse(rehearse)
            guard try stopRunners(judge) else { return false }
        }
        guard try stopNewcomers(judge) else { return false }
        // Everything that could have started another task stands still now.
        let stopped = stopped
        let sharer: ProcessID?
        do throws(Errno) {
            sharer = try sharers.findAmongNew { thread in stopped.contains { $0.id == thread } }
        } catch {
            throw target.failure(error, "compare the memory of")
        }
        if let sharer { throw .cannotStopNow(target.id, .memoryShared(with: sharer)) }
        try target.requireSameProgram()
        return true
    }

    /// Stops those that sleep, while the others run on.
    ///
    /// Each one that is asked wakes up and takes some 5 µs of a processor, and so
    /// does this thread for each. Where every processor has a running thread of the
    /// target, that is taken from it: so it is done one by one, with rests in
    /// between. Nor must several that have been woken wait behind this thread when
    /// the scheduler looks for work to move: it would put two running threads on one
    /// processor, for milliseconds. On a busy machine those that are asked wait their
    /// turn; more are asked meanwhile, so that the wait is not one for each.
    private mutating func stopSleepers(
        _ judge: (StoppedThread) -> Judgement
    ) throws(LiveProcessError) -> Bool {
        var rest = sleepers[...]
        var lastProgress = monotonicNanoseconds()
        var lastAsked: UInt64 = 0
        while !rest.isEmpty || !asked.isEmpty {
            if asked.isEmpty
                || (asked.count < Self.mostAsked && monotonicNanoseconds() &- lastAsked > 200_000),
                let thread = rest.popFirst()
            {
                lastAsked = monotonicNanoseconds()
                try ask(thread)
            }
            Breather.rest()
            let before = asked.count
            guard try collectSleepers(judge) else { return false }
            if asked.count < before {
                lastProgress = monotonicNanoseconds()
            } else if monotonicNanoseconds() &- lastProgress > 2_000_000, !asked.isEmpty {
                // Waited for with patience, and told from one that will not stop.
                let first = asked.removeFirst()
                guard try accept(first, settle(first), wasRunning: false, judge) else {
                    return false
                }
            }
        }
        return true
    }

    private static let mostAsked = 32

    /// Attends to those of the asked that have stopped by now.
    private mutating func collectSleepers(
        _ judge: (StoppedThread) -> Judgement
    ) throws(LiveProcessError) -> Bool {
        var breather = Breather()
        var position = 0
        while position < asked.count {
            let thread = asked[position]
            var registers = Registers()
            let settled: Settled?
            do throws(Errno) {
                settled = try Tracee(id: thread.rawValue).settleNow(&registers)
            } catch {
                // ESRCH: killed while it was stopped.
                settled = .ended
            }
            guard let settled else {
                position += 1
                continue
            }
            asked.remove(at: position)
            guard
                try accept(
                    thread, outcome(settled, of: thread, registers), wasRunning: false, judge)
            else { return false }
            breather.breathe()
        }
        return true
    }

    /// Stops those that run: from here on every microsecond counts.
    private mutating func stopRunners(
        _ judge: (StoppedThread) -> Judgement
    ) throws(LiveProcessError) -> Bool {
        // To be seized disturbs nobody, but takes time.
        var seized: [ThreadID] = []
        seized.reserveCapacity(runners.count)
        for thread in runners where try seize(thread) { seized.append(thread) }
        Breather.rest()
        runnersStart = monotonicNanoseconds()
        for thread in seized { try interrupt(thread) }
        // Where there are no more processors than that, one of them waits for this
        // one, and cannot stop while it is looked at without a pause.
        return try settle(wereRunning: true, looking: seized.count < processorCount, judge)
    }

    /// What is done once everything stands still, done once before: what it reads, and
    /// its own code, has left the processor's caches while the sleepers were stopped
    /// (with 1,000 of them 50 µs of 160 were lost to that).
    private func rehearse(_ rest: () -> Void) throws(LiveProcessError) {
        _ = try checked { () throws(Errno) in try tasks.count() }
        _ = try checked { () throws(Errno) in try sharers.newestNumber() }
        try target.requireSameProgram()
        rest()
    }

    /// Seizes a thread and tells it to stop, in one go: a thread that is seized and
    /// not attended to would hang at its next signal.
    private mutating func ask(_ thread: ThreadID) throws(LiveProcessError) {
        if try seize(thread) { try interrupt(thread) }
    }

    /// Returns false where the thread has ended.
    private mutating func seize(
        _ thread: ThreadID, isRepeated: Bool = false
    ) throws(LiveProcessError) -> Bool {
        do throws(Errno) {
            try watch.during { () throws(Errno) in try Tracee(id: thread.rawValue).seize() }
            return true
        } catch {
            // Threads end all the time; whether the process has is found later.
            switch target.seizeFailure(thread, error) {
            case .ended:
                noteEnd(of: thread)
                return false
            // One that ended in an execve may have a successor of its number.
            case .notPermitted where !isRepeated: return try seize(thread, isRepeated: true)
            case let failure: throw failure
            }
        }
    }

    private mutating func interrupt(_ thread: ThreadID) throws(LiveProcessError) {
        do throws(Errno) {
            try Tracee(id: thread.rawValue).interrupt()
            asked.append(thread)
        } catch {
            let failure = target.seizeFailure(thread, error)
            guard case .ended = failure else { throw failure }
            noteEnd(of: thread)
        }
    }

    private mutating func noteEnd(of thread: ThreadID) {
        // Not reaped before the last of its threads: it stays in the count.
        if thread.rawValue == target.id.rawValue { firstThreadIsDead = true }
    }

    /// Waits for all that were asked, and has each judged.
    private mutating func settle(
        wereRunning: Bool, looking: Bool = true, _ judge: (StoppedThread) -> Judgement
    ) throws(LiveProcessError) -> Bool {
        var position = 0
        defer { asked.removeFirst(position) }
        while position < asked.count {
            let thread = asked[position]
            position += 1
            guard
                try accept(
                    thread, settle(thread, looking: looking), wasRunning: wereRunning, judge)
            else {
                return false
            }
        }
        return true
    }

    /// Takes in a thread that has stopped, and has it judged; nil is one that has
    /// ended. Returns false where the judgement was to give up.
    private mutating func accept(
        _ thread: ThreadID, _ registers: Registers?, wasRunning: Bool,
        _ judge: (StoppedThread) -> Judgement
    ) -> Bool {
        guard let registers else { return true }
        if !wasRunning, registers.showRunningThread {
            // It woke up since it was looked at: it is one of those that stop last.
            release(thread)
            runners.append(thread)
            return true
        }
        let found = StoppedThread(id: thread, wasRunning: wasRunning, storage: registers)
        stopped.append(found)
        if wasRunning { report.runningCount += 1 }
        return judge(found) != .giveUp
    }

    /// The registers of a thread once it has stopped; nil where it has ended.
    private mutating func settle(
        _ thread: ThreadID, looking: Bool = true
    ) throws(LiveProcessError) -> Registers? {
        var registers = Registers()
        let settled: Settled
        do throws(Errno) {
            settled = try Tracee(id: thread.rawValue).settle(
                patience, &registers, looking: looking
            ) {
                tasks.state(of: thread)
            }
        } catch {
            // ESRCH: killed while it was stopped.
            settled = .ended
        }
        return try outcome(settled, of: thread, registers)
    }

    /// nil where the thread has ended.
    private mutating func outcome(
        _ settled: Settled, of thread: ThreadID, _ registers: Registers
    ) throws(LiveProcessError) -> Registers? {
        switch settled {
        case .stopped: return registers
        case .exec: throw .programChanged(target.id)
        case .uninterruptible: throw .cannotStopNow(target.id, .uninterruptible(thread))
        case .slow: throw .cannotStopNow(target.id, .slowToStop(thread))
        case .ended:
            noteEnd(of: thread)
            return nil
        }
    }

    private var patience: Patience {
        Patience(
            whileRunnable: options.patience, whileUninterruptible: options.uninterruptiblePatience)
    }

    /// Stops what was started since the threads were listed, until the kernel
    /// counts no thread that does not stand still.
    private mutating func stopNewcomers(
        _ judge: (StoppedThread) -> Judgement
    ) throws(LiveProcessError) -> Bool {
        var pause = Pause()
        while true {
            let count: Int
            do throws(Errno) { count = try tasks.count() } catch {
                throw target.failure(error, "count the threads of")
            }
            let known = stopped.count + (firstThreadIsDead ? 1 : 0)
            if count <= known {
                guard !stopped.isEmpty else { throw .ended(target.id) }
                return true
            }
            if pause.elapsed > options.patience {
                throw .cannotStopNow(target.id, .threadsKeepAppearing(count: count - known))
            }
            let listed: [ThreadID]
            do throws(Errno) { listed = try tasks.read() } catch {
                throw target.failure(error, "list the threads of")
            }
            let seen = Set(stopped.map(\.id))
            for thread in listed where !seen.contains(thread) {
                if tasks.state(of: thread) == .dead { noteEnd(of: thread) } else { try ask(thread) }
            }
            guard try settle(wereRunning: true, judge) else { return false }
            // What was dead and counted is gone in a moment.
            pause.next()
        }
    }
}

// MARK: Letting go

extension StopSession {
    /// Runners first: how long they stand is what the program feels.
    private mutating func releaseAll() {
        // They were stopped last, and stand at the end.
        for thread in stopped.reversed() {
            guard thread.wasRunning else { break }
            release(thread.id)
        }
        if runnersStart != 0 { report.runnersStopped = monotonicNanoseconds() &- runnersStart }
        Breather.rest()
        for thread in stopped {
            if thread.wasRunning { break }
            release(thread.id)
            // It takes some 5 µs of a processor to go back to sleep.
            Breather.rest()
        }
    }

    private func release(_ thread: ThreadID) {
        do throws(Errno) {
            try Tracee(id: thread.rawValue).resume(CLINUX_DETACH)
        } catch {
            // ESRCH: killed meanwhile. There is nothing left to let go.
            return
        }
    }

    /// Before a stop is given up: those that were asked and not attended to must
    /// not go on with an EINTR of ours, nor miss a signal. One that does not
    /// stop now is let go by the kernel when this OS thread ends.
    private mutating func settleRest() {
        while let thread = asked.popLast() {
            var registers = Registers()
            do throws(Errno) {
                _ = try Tracee(id: thread.rawValue).settle(patience, &registers) {
                    tasks.state(of: thread)
                }
            } catch {
                // ESRCH: killed meanwhile.
                continue
            }
        }
    }
}
