import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

/// One remote call, tried on one thread after another until one has made it.
struct RemoteCallRequest {
    let call: RemoteSystemCall
    let arguments: [UInt64]
    /// Placed beside the stub, where an argument may point to it.
    let bytesInMemory: [UInt8]
    let place: StubPlace
    let seccomp: SeccompPolicy

    private static let attempts = 64

    private enum Outcome {
        case done(UInt64)
        /// The call was not made; the thread is as it was.
        case notNow(String)
        /// Nor will it be on this thread.
        case notHere(String)
        case failed(LiveProcessError)
    }

    func perform(in target: TargetProcess) throws(LiveProcessError) -> UInt64 {
        var unsuited: Set<ThreadID> = []
        var reason = "no thread is left"
        for _ in 0..<Self.attempts {
            try target.requireNoCoreDump()
            guard let thread = try CallerChoice.choose(in: target, excluding: unsuited) else {
                break
            }
            try checkSeccomp(of: thread, in: target)
            let outcome: Outcome
            do throws(Errno) {
                // Only one thread is traced: there is nothing to watch over.
                outcome = try TracerThread.run(SeizeWatch(target)) {
                    attempt(Tracee(id: thread.rawValue), in: target)
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

    private func checkSeccomp(
        of thread: ThreadID, in target: TargetProcess
    ) throws(LiveProcessError) {
        guard seccomp == .refuse, let text = try? target.contents("task/\(thread)/status"),
            let facts = ProcessFacts(parsing: text), facts.seccompMode != 0
        else { return }
        throw .seccomp(target.id, thread: thread)
    }

    // MARK: One attempt, on an OS thread of its own

    private func attempt(_ tracee: Tracee, in target: TargetProcess) -> Outcome {
        do throws(Errno) {
            // PTRACE_O_SUSPEND_SECCOMP, which the kernel lifts with the tracer.
            let suspend: UInt32 = seccomp == .suspend ? 1 << 21 : 0
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
            return try inject(tracee, native, target)
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

    /// Steps the thread through the stub. `native` is how it was found, and how it
    /// is left.
    private func inject(
        _ tracee: Tracee, _ native: Registers, _ target: TargetProcess
    ) throws(Errno) -> Outcome {
        let restarts = native.isInRestartableCall
        do throws(LiveProcessError) {
            try target.writeText(memory(native), at: place.stub, tracee: tracee)
        } catch {
            try leave(tracee, native)
            return .failed(error)
        }
        do throws(Errno) {
            try tracee.writeRegisters(entry(native, restarts))
            return try step(tracee, native, target)
        } catch {
            // ESRCH: killed. Should it live all the same, it may be in the stub.
            return .failed(.lostDuringCall(target.id, name: call.name))
        }
    }

    /// From the stub's entry through the call. As soon as the thread was resumed
    /// here, it must be waited for, however long a busy machine lets it wait: it
    /// may be in the stub.
    private func step(
        _ tracee: Tracee, _ native: Registers, _ target: TargetProcess
    ) throws(Errno) -> Outcome {
        let lost = Outcome.failed(.lostDuringCall(target.id, name: call.name))
        try tracee.resume(CLINUX_SYSCALL)
        var event = tracee.wait(atMost: Self.callPatience)
        // Of a program that job control has stopped, seizing makes one stop and
        // PTRACE_INTERRUPT another, before anything runs (kernel/signal.c,
        // do_jobctl_trap). Let go, it is stopped again (__ptrace_unlink).
        if event == .stopped {
            try tracee.resume(CLINUX_SYSCALL)
            event = tracee.wait(atMost: Self.callPatience)
        }
        var registers = Registers()
        switch event {
        case .none: return lost
        case .exec, .ended: return .notNow("thread \(tracee.id) ended")
        // The thread takes what came before the call in its own state.
        case .stopped:
            try leave(tracee, native)
            return .notNow("thread \(tracee.id) was stopped")
        case .signal(let signal):
            try leave(tracee, native, signal: signal)
            return .notNow("thread \(tracee.id) received signal \(signal)")
        case .systemCall: try tracee.readRegisters(&registers)
        }
        guard registers.programCounter == place.stub.advanced(by: RemoteCallStub.afterCall),
            registers.systemCall == call.number
        else {
            try leave(tracee, native)
            return .notNow("thread \(tracee.id) made another call")
        }
        try tracee.resume(CLINUX_SYSCALL)
        guard tracee.wait(atMost: Self.callPatience) == .systemCall else { return lost }
        try tracee.readRegisters(&registers)
        try leave(tracee, native)
        return .done(UInt64(bitPattern: registers.result))
    }

    /// 10 s: the call may wait for the target's page faults, and the thread for a
    /// processor.
    private static let callPatience: UInt64 = 10_000_000_000

    /// Gives the thread its own state back and lets it go. A detached thread
    /// passes through the kernel's signal code, which restarts its call
    /// (kernel/ptrace.c, __ptrace_unlink wakes it as for a signal).
    private func leave(
        _ tracee: Tracee, _ native: Registers, signal: Int32 = 0
    ) throws(Errno) {
        try tracee.writeRegisters(native)
        try tracee.resume(CLINUX_DETACH, signal: signal)
    }

    /// What is written to the target: the stub, and the argument behind it.
    private func memory(_ native: Registers) -> [UInt8] {
        var saved = native
        if native.isInRestartableCall {
            // Back on its `syscall`, with the number again in rax: 219,
            // restart_syscall, where the kernel keeps the arguments itself.
            saved.raw.rip = native.raw.rip &- 2
            saved.raw.rax =
                native.result == RestartCode.restartBlock ? 219 : native.raw.orig_rax
        }
        let bytes =
            RemoteCallStub(restoring: saved, interrupted: UInt64(native.raw.rip)).bytes
            + bytesInMemory
        return bytes + [UInt8](repeating: 0, count: StubPlace.size - bytes.count)
    }

    private func entry(_ native: Registers, _ restarts: Bool) -> Registers {
        var registers = native
        if restarts {
            registers.raw.rip = place.stub.rawValue &+ RemoteCallStub.afterCall
            registers.raw.orig_rax = call.number
            // Of this code the kernel would start restart_syscall, not our call.
            if native.result == RestartCode.restartBlock {
                registers.raw.rax = UInt64(bitPattern: RestartCode.restartNoHandler)
            }
        } else {
            registers.raw.rip = place.stub.rawValue
            registers.raw.orig_rax = .max
            registers.raw.rax = call.number
        }
        func argument(_ index: Int) -> UInt64 { index < arguments.count ? arguments[index] : 0 }
        registers.raw.rdi = argument(0)
        registers.raw.rsi = argument(1)
        registers.raw.rdx = argument(2)
        registers.raw.r10 = argument(3)
        registers.raw.r8 = argument(4)
        registers.raw.r9 = argument(5)
        return registers
    }
}
