import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

/// A thread that stands at a ptrace stop of the calling OS thread, from its exec or
/// from a system call of its own, and that is led from the end of one system call to
/// the end of the next.
///
/// It is not let go when the value goes: ``release()`` does that, and the kernel does
/// it when the OS thread ends that seized it, for which every stop is good: nothing
/// of the thread is ever changed but within a remote call, which undoes itself.
/// All of it must be done on that OS thread. It takes reports of SIGCHLD meanwhile;
/// whoever traces others too looks at them afterwards.
public struct HeldThread: Sendable {
    public let process: ProcessID
    public let id: ThreadID
    /// What is known of its process while this thread, the only one, stands at its exec;
    /// nil where there may be others.
    let standing: StandingFacts?

    var tracee: Tracee { Tracee(id: id.rawValue) }

    /// A system call that has ended, and whose result the thread has not seen yet.
    public struct FinishedCall: Sendable {
        public let number: UInt64
        /// The first six arguments.
        public let arguments: [UInt64]
        /// Negative error numbers are -4095 to -1.
        public let result: Int64
        /// Behind the instruction that made it.
        public let programCounter: RemoteAddress
    }

    /// What became of a thread that was led on.
    public enum Advance: Sendable {
        /// It stands at the end of this call.
        case call(FinishedCall)
        /// It stands at the start of another program (PTRACE_EVENT_EXEC).
        case exec
        /// It has ended, or its process has, or another thread runs another program.
        case ended
        /// It has not come to the end of a call in time, and runs or sleeps.
        case slow
    }

    /// Takes over a thread that stands at any ptrace stop but one within a system
    /// call. It was seized by the calling OS thread, with whatever options.
    ///
    /// Throws `ended` where it does not stand there, or `system`.
    public init(_ id: ThreadID, of process: ProcessID) throws(LiveProcessError) {
        try self.init(id, of: process, standing: nil)
    }

    private init(
        _ id: ThreadID, of process: ProcessID, standing: StandingFacts?
    ) throws(LiveProcessError) {
        self.process = process
        self.id = id
        self.standing = standing
        do throws(Errno) {
            try tracee.set(options: Tracee.options)
            guard case .stopped = tracee.look() else { return }
            var registers = Registers()
            try tracee.readRegisters(&registers)
            if registers.hideInterruption() { try tracee.writeRegisters(registers) }
        } catch {
            throw failure(error)
        }
    }

    /// Takes over a process that stands at its PTRACE_EVENT_EXEC stop: no instruction of
    /// the program has run then. Only one thread is left at that stop, and it has the
    /// number of the process, whichever it had before (ptrace(2)).
    ///
    /// Throws `ended` or `system`.
    public init(atExecOf process: ProcessID) throws(LiveProcessError) {
        // Where the number changed, the kernel does nothing to the thread before its new
        // number has been waited for (kernel/ptrace.c, looks_like_a_spurious_pid).
        clinux_note_stop(process.rawValue)
        try self.init(
            ThreadID(rawValue: process.rawValue), of: process, standing: StandingFacts())
    }

    /// Leads a thread that stands within its execve to the end of it. What is written to
    /// its registers before, other than where it goes on, is lost.
    func leadOutOfExec() throws(LiveProcessError) {
        guard let standing, standing.leaveExec() else { return }
        guard case .call = try goOn(atMost: Self.patience) else { throw .ended(process) }
    }

    /// Lets the thread go on to the end of its next system call. Signals that come
    /// meanwhile it takes; a stop by job control is made good when it is let go.
    ///
    /// - Parameter nanoseconds: how long that may take.
    public func advance(
        atMost nanoseconds: UInt64 = patience
    ) throws(LiveProcessError) -> Advance {
        try leadOutOfExec()
        standing?.end()
        return try goOn(atMost: nanoseconds)
    }

    /// One second.
    public static let patience: UInt64 = 1_000_000_000

    private func goOn(atMost nanoseconds: UInt64) throws(LiveProcessError) -> Advance {
        do throws(Errno) {
            try tracee.resume(CLINUX_SYSCALL)
            return try awaitCallEnd(atMost: nanoseconds)
        } catch .noSuchProcess {
            return .ended
        } catch {
            throw failure(error)
        }
    }

    /// The same of a thread that runs already.
    func awaitCallEnd(atMost nanoseconds: UInt64) throws(Errno) -> Advance {
        while true {
            switch tracee.wait(atMost: nanoseconds) {
            case .none: return .slow
            case .ended: return .ended
            case .exec: return .exec
            case .stopped: try tracee.pass(0, CLINUX_SYSCALL)
            case .signal(let signal): try tracee.pass(signal, CLINUX_SYSCALL)
            case .systemCall:
                if try tracee.isAtCallEnd() { return .call(try finishedCall()) }
                try tracee.resume(CLINUX_SYSCALL)
            }
        }
    }

    private func finishedCall() throws(Errno) -> FinishedCall {
        var registers = Registers()
        try tracee.readRegisters(&registers)
        let raw = registers.raw
        return FinishedCall(
            number: UInt64(raw.orig_rax),
            arguments: [raw.rdi, raw.rsi, raw.rdx, raw.r10, raw.r8, raw.r9].map { UInt64($0) },
            result: registers.result, programCounter: registers.programCounter)
    }

    /// What the system call that the thread is in, or was in last, has returned.
    public func resultOfLastCall() throws(LiveProcessError) -> Int64 { try registers().result }

    func registers() throws(LiveProcessError) -> Registers {
        var registers = Registers()
        do throws(Errno) { try tracee.readRegisters(&registers) } catch { throw failure(error) }
        return registers
    }

    /// Lets the thread go, as if it had never been traced. One that does not stand is
    /// told to stop first; where it does not in time, the kernel lets it go when this
    /// OS thread ends.
    public func release() {
        do throws(Errno) {
            try tracee.resume(CLINUX_DETACH)
        } catch {
            // ESRCH: it does not stand still, or has ended.
            var registers = Registers()
            guard (try? tracee.interrupt()) != nil,
                case .stopped? = try? tracee.settle(
                    Patience(), &registers, state: { id.state(in: process) })
            else { return }
            try? tracee.resume(CLINUX_DETACH)
        }
    }

    /// Lets the process end with an exit status of ours (0 to 255) in place of whatever
    /// it was about to do. Where that cannot be done, it is killed.
    public func endProcess(status: UInt8) {
        do throws(LiveProcessError) { try leadOutOfExec() } catch {
            kill(process.rawValue, SIGKILL)
            return
        }
        do throws(Errno) {
            var registers = Registers()
            try tracee.readRegisters(&registers)
            try tracee.poke(systemCallAt: registers.programCounter)
            registers.raw.orig_rax = .max  // in no system call
            registers.raw.rax = 231  // exit_group
            registers.raw.rdi = UInt64(status)
            try tracee.writeRegisters(registers)
            try tracee.resume(CLINUX_DETACH)
        } catch {
            kill(process.rawValue, SIGKILL)
        }
    }

    private func failure(_ error: Errno) -> LiveProcessError {
        error == .noSuchProcess
            ? .ended(process) : .system(process, action: "lead thread \(id) of", error)
    }
}
