import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

/// One remote call, tried on one thread after another until one has made it.
struct RemoteCallRequest {
    let injection: RemoteCallInjection
    let seccomp: SeccompPolicy
    /// Whether the call is only to be judged, not made; the answer is 0 then.
    var isJudgedOnly = false

    static let attempts = 64
    /// PTRACE_O_SUSPEND_SECCOMP, which the kernel lifts with the tracer.
    static let suspendSeccomp: UInt32 = 1 << 21

    private enum Outcome {
        case done(UInt64)
        /// The call was not made; the thread is as it was.
        case notNow(String)
        /// Nor will it be on this thread.
        case notHere(String)
        case failed(LiveProcessError)
    }

    func perform(in target: TargetProcess) throws(LiveProcessError) -> UInt64 {
        if let held = target.held { return try perform(by: held, in: target) }
        var unsuited: Set<ThreadID> = []
        var reason = "no thread is left"
        for _ in 0..<Self.attempts {
            try target.requireNoCoreDump()
            guard let thread = try CallerChoice.choose(in: target, excluding: unsuited) else {
                break
            }
            let isFiltered = try isFiltered(thread, in: target)
            let outcome: Outcome
            do throws(Errno) {
                // Only one thread is traced: there is nothing to watch over.
                outcome = try TracerThread.run(SeizeWatch(target)) {
                    attempt(Tracee(id: thread.rawValue), in: target, isFiltered: isFiltered)
                }
            } catch {
                throw .system(target.id, action: "start a tracing thread", error)
            }
            switch outcome {
            case .done(let result): return result
            case .failed(let error): throw error
            case .notNow(let why): reason = why
            case .notHere(let why):
                reason = why
                unsuited.insert(thread)
            }
        }
        guard target.isAlive else { throw .ended(target.id) }
        throw .noThreadForCall(target.id, reason: reason)
    }

    // MARK: One attempt, on an OS thread of its own

    private func attempt(
        _ tracee: Tracee, in target: TargetProcess, isFiltered: Bool
    ) -> Outcome {
        do throws(Errno) {
            let suspend = seccomp == .suspend ? Self.suspendSeccomp : 0
            try tracee.seize(options: Tracee.options | suspend)
            try tracee.interrupt()
        } catch {
            return refusal(of: tracee, in: target, error)
        }
        do throws(Errno) {
            var native = Registers()
            let tasks = try TaskList(of: target)
            let settled = try tracee.settle(Patience(), &native) {
                tasks.state(of: ThreadID(rawValue: tracee.id))
            }
            switch settled {
            case .stopped: break
            case .uninterruptible, .slow: return .notHere("thread \(tracee.id) did not stop")
            case .ended, .exec: return .notNow("thread \(tracee.id) ended")
            }
            guard native.isLongMode, isCallable(native, tracee, target) else {
                try tracee.resume(CLINUX_DETACH)
                return .notNow("thread \(tracee.id) was in code that must not be interrupted")
            }
            if isFiltered, let obstacle = obstacle(for: tracee) {
                try tracee.resume(CLINUX_DETACH)
                return .failed(.seccomp(target.id, thread: ThreadID(rawValue: tracee.id), obstacle))
            }
            if isJudgedOnly {
                try tracee.resume(CLINUX_DETACH)
                return .done(0)
            }
            return try finish(
                tracee, injection.perform(by: tracee, native, in: target), in: target)
        } catch {
            // Whatever is still traced is let go when this OS thread ends.
            return .notNow("thread \(tracee.id): \(error)")
        }
    }

    private func refusal(
        of tracee: Tracee, in target: TargetProcess, _ error: Errno
    ) -> Outcome {
        let failure = target.seizeFailure(ThreadID(rawValue: tracee.id), error)
        if case .ended = failure { return .notHere("thread \(tracee.id) ended") }
        return .failed(failure)
    }

    /// A thread in a restartable sequence (rseq(2)) must not leave it: the kernel
    /// would take our detour for an abort that never reached its handler. And a
    /// call that restarts must have been made by `syscall`, two bytes back.
    private func isCallable(
        _ registers: Registers, _ tracee: Tracee, _ target: TargetProcess
    ) -> Bool {
        if registers.isInRestartableCall {
            let bytes = try? target.read(
                RemoteAddress(rawValue: registers.programCounter.rawValue &- 2), count: 2)
            return bytes == [0x0f, 0x05]
        }
        var area: UInt64 = 0
        guard unsafe clinux_rseq_address(tracee.id, &area) == 0, area != 0 else { return true }
        // struct rseq: rseq_cs is the word at 8, 0 outside of any sequence.
        var sequence: [UInt64] = [0]
        guard target.readWords(at: RemoteAddress(rawValue: area &+ 8), into: &sequence) == 1 else {
            return true
        }
        if sequence[0] == 0 { return true }
        // struct rseq_cs: start_ip at 8, post_commit_offset at 16.
        var bounds: [UInt64] = [0, 0]
        let read = target.readWords(at: RemoteAddress(rawValue: sequence[0] &+ 8), into: &bounds)
        return read == 2 && registers.programCounter.rawValue &- bounds[0] >= bounds[1]
    }

    /// Lets the thread go after its call. A detached thread passes through the
    /// kernel's signal code, which restarts its own call (kernel/ptrace.c,
    /// __ptrace_unlink wakes it as for a signal).
    private func finish(
        _ tracee: Tracee, _ outcome: RemoteCallInjection.Outcome, in target: TargetProcess
    ) throws(Errno) -> Outcome {
        switch outcome {
        case .done(let result):
            try tracee.resume(CLINUX_DETACH)
            return .done(result)
        case .notNow(let reason, let signal):
            try tracee.resume(CLINUX_DETACH, signal: signal)
            return .notNow("thread \(tracee.id) \(reason)")
        case .gone: return .notNow("thread \(tracee.id) ended")
        case .failed(let error):
            try tracee.resume(CLINUX_DETACH)
            return .failed(error)
        case .lost:
            return .failed(.lostDuringCall(target.id, name: injection.call.name))
        }
    }
}
