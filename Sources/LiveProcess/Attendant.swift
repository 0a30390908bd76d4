import CLinuxTrace
import Glibc
import SystemPackage

/// A process beside the calling one that traces it while it becomes another program
/// (execve(2)), and so can hold that before its first instruction.
///
/// The calling process stays what it was to everybody: it keeps its number, parent
/// and terminal, and gets no child of which it knows nothing. Whatever happens to
/// the attendant, the kernel then lets go of what it traces (ptrace(2)).
public enum Attendant {
    /// Starts one, and returns when it traces the calling thread, which must be the
    /// only one of its process. The program is run next.
    ///
    /// - Parameter attend: what it does. It ends when this returns, and what it traces
    ///   goes on. It has standard error, and no other open file of the caller; signals
    ///   of the terminal do not reach it.
    ///
    /// Throws `alreadyTraced`, `notPermitted`, `attendantLost` or `system`.
    public static func start(_ attend: (ThreadBeforeExec) -> Void) throws(LiveProcessError) {
        let caller = ProcessID(rawValue: getpid())
        let channel: Descriptor
        do throws(Errno) { channel = try fork(for: caller, attend) } catch {
            throw .system(caller, action: "start a process that patches this one", error)
        }
        guard let attendant = receive(from: channel.rawValue) else {
            throw .attendantLost(caller)
        }
        // EINVAL without Yama: who may trace is not limited then.
        _ = clinux_allow_tracer(attendant)
        guard send(0, to: channel.rawValue), let answer = receive(from: channel.rawValue) else {
            throw .attendantLost(caller)
        }
        if answer == 0 { return }
        throw try TargetProcess.find(caller).seizeFailure(
            ThreadID(rawValue: caller.rawValue), Errno(rawValue: answer))
    }

    /// Returns the caller's end of the channel, to the caller only.
    private static func fork(
        for caller: ProcessID, _ attend: (ThreadBeforeExec) -> Void
    ) throws(Errno) -> Descriptor {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw Errno(rawValue: errno) }
        let forked = clinux_fork_apart()
        if forked == 0 {
            serve(caller, ends[1], attend)
            _exit(0)
        }
        close(ends[1])
        let channel = Descriptor(rawValue: ends[0])
        if forked < 0 { throw Errno(rawValue: -forked) }
        return channel
    }

    /// What the attendant does.
    private static func serve(
        _ caller: ProcessID, _ descriptor: Int32, _ attend: (ThreadBeforeExec) -> Void
    ) {
        let channel = clinux_keep_only(descriptor)
        setsid()
        // By SIGCHLD the kernel tells of stops (see Pause), to who does not ignore it.
        signal(SIGCHLD, SIG_DFL)
        signal(SIGPIPE, SIG_IGN)
        var report = Pause.report
        unsafe pthread_sigmask(SIG_SETMASK, &report, nil)
        guard channel >= 0, send(getpid(), to: channel), receive(from: channel) != nil else {
            return
        }
        let thread: ThreadBeforeExec
        do throws(Errno) {
            thread = try ThreadBeforeExec(
                seizing: ThreadID(rawValue: caller.rawValue), of: caller)
        } catch {
            _ = send(error.rawValue, to: channel)
            return
        }
        guard send(0, to: channel) else { return }
        close(channel)
        attend(thread)
    }

    /// What the attendant may do about the seccomp filters of the process that it traces.
    ///
    /// Where those are its own too, and no others, they permit what a patch needs or
    /// do not, as is tried (seccomp(2): a process keeps what it has for ever).
    ///
    /// - Parameter suspending: whether a filter may be suspended. Who runs under one
    ///   himself cannot do that (kernel/ptrace.c, check_ptrace_options).
    public static func seccompPolicy(
        for process: TargetProcess, suspending: Bool
    ) -> SeccompPolicy {
        guard let own = try? TargetProcess.find(ProcessID(rawValue: getpid())).facts(),
            let facts = try? process.facts(), own.seccompMode != 0
        else { return suspending ? .suspend : .refuse }
        let isSame =
            facts.seccompFilterCount != nil && facts.seccompFilterCount == own.seccompFilterCount
        return isSame && clinux_try_patch_calls() == 1 ? .permitted : .refuse
    }

    // MARK: The channel

    private static func send(_ number: Int32, to channel: Int32) -> Bool {
        var number = number
        // Four bytes always fit.
        return unsafe Glibc.send(channel, &number, 4, Int32(MSG_NOSIGNAL)) == 4
    }

    /// nil where the other process is gone.
    private static func receive(from channel: Int32) -> Int32? {
        var number: Int32 = 0
        while true {
            let count = unsafe recv(channel, &number, 4, Int32(MSG_WAITALL))
            if count < 0, errno == EINTR { continue }
            return count == 4 ? number : nil
        }
    }
}
