import CLinuxTrace
import Glibc
import SystemPackage

/// A thread that the calling OS thread has seized while the kernel was asking whether
/// it may run a program or open a file, and that stops once it is past that.
///
/// It is let go when the calling OS thread ends (kernel/ptrace.c, exit_ptrace).
package struct SeizedThread {
    package let thread: ThreadID
    package let process: ProcessID
    private let tracee: Tracee

    /// How a thread stopped that was seized so.
    package enum Stop: Equatable {
        /// PTRACE_EVENT_EXEC: it runs the program, of which no instruction has run.
        case exec
        /// It was seized too late for that, and runs the program already, of which
        /// hardly any instruction has run.
        case lateExec
        /// The call is over, and it goes on with what it ran before.
        case returning
        /// It ended meanwhile, or its program did.
        case ended
        /// It has not stopped in time.
        case none
    }

    /// Seizes it and asks it to stop. The kernel may hold this back until its question
    /// has been answered.
    ///
    /// Throws what ptrace(2) answers: `notPermitted` where another one traces it,
    /// `noSuchProcess` where it is gone.
    package init(_ thread: ThreadID, of process: ProcessID) throws(Errno) {
        self.thread = thread
        self.process = process
        tracee = Tracee(id: thread.rawValue)
        try tracee.seize()
        try tracee.interrupt()
    }

    /// Waits for its stop, and lets it take signals that come before.
    ///
    /// - Parameter nanoseconds: how long. What the thread does may wait for anything,
    ///   as for a file system that does not answer.
    package func waitForStop(atMost nanoseconds: UInt64) throws(Errno) -> Stop {
        let stop = try waitForStop(of: tracee, nanoseconds)
        // An exec by a thread that was not the first gives it the number of its process
        // (ptrace(2), "execve(2) under ptrace"). Where it has ended, nobody of that
        // number is traced.
        guard stop == .ended, thread.rawValue != process.rawValue else { return stop }
        let later = try waitForStop(of: Tracee(id: process.rawValue), nanoseconds)
        // Until the stop has been waited for, the kernel answers ESRCH to all that is
        // asked of a thread whose number has changed (kernel/ptrace.c,
        // looks_like_a_spurious_pid).
        if later == .exec { clinux_note_stop(process.rawValue) }
        return later
    }

    private func waitForStop(
        of tracee: Tracee, _ nanoseconds: UInt64
    ) throws(Errno) -> Stop {
        var pause = Pause()
        var registers = Registers()
        while pause.elapsed < nanoseconds {
            switch try tracee.settleNow(&registers) {
            case .none, .uninterruptible, .slow: pause.next()
            case .exec: return .exec
            case .stopped: return registers.ranProgram ? .lateExec : .returning
            case .ended: return .ended
            }
        }
        return .none
    }

    /// Lets it go, as if it had never been traced, where it stands at a stop.
    package func release(after stop: Stop) {
        let standing = stop == .exec ? process.rawValue : thread.rawValue
        // Where it cannot be done, the end of the calling OS thread does it.
        _ = clinux_resume(standing, CLINUX_DETACH, 0)
    }
}

extension Registers {
    /// The thread comes from an execve(2) or execveat(2) that succeeded.
    fileprivate var ranProgram: Bool {
        guard let systemCall else { return false }
        return runsProgram(systemCall) && result == 0
    }
}

/// Whether it is the number of execve(2) or execveat(2)
/// (arch/x86/entry/syscalls/syscall_64.tbl).
private func runsProgram(_ systemCall: UInt64) -> Bool { systemCall == 59 || systemCall == 322 }

extension ThreadID {
    /// The process that the thread belongs to; nil where it is gone.
    package var process: ProcessID? {
        // It opens for the first thread of a process only (pidfd_open(2)), and costs a
        // quarter of what the text of /proc does.
        let first = clinux_pidfd_open(rawValue)
        if first >= 0 {
            close(first)
            return ProcessID(rawValue: rawValue)
        }
        guard let text = try? Descriptor.open("/proc/\(self)/status").readToEnd() else {
            return nil
        }
        return ProcessFacts(parsing: text)?.group
    }

    /// Whether the thread waits in the middle of an execve(2), and so holds the lock that
    /// PTRACE_SEIZE takes.
    package var isRunningProgram: Bool {
        // The number of the call, its arguments, and two registers (proc_pid_syscall(5)).
        guard let text = try? Descriptor.open("/proc/\(self)/syscall").readToEnd(),
            let number = UInt64(
                String(decoding: text.prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self))
        else { return false }
        return runsProgram(number)
    }

    /// Whether this thread, one of this process, waits in the kernel, and not for a
    /// processor.
    package var sleepsInThisProcess: Bool {
        let state = state(in: ProcessID(rawValue: getpid()))
        return state == .sleeping || state == .uninterruptible
    }

    /// What the thread, one of that process, does; nil where it is gone.
    func state(in process: ProcessID) -> TaskState? {
        let file = "/proc/\(process)/task/\(self)/stat"
        guard let text = try? Descriptor.open(file).readToEnd() else { return nil }
        return TaskStat(parsing: text)?.state
    }
}
