import Glibc
import Synchronization

/// Signals that would end or stop the tool in the middle of its work, held back
/// until it is done or has tidied up.
///
/// What cannot be held back, SIGKILL, does no harm either; but a tool that may say
/// so leaves nothing behind at all. A tool that is stopped (SIGTSTP, Ctrl-Z)
/// while the threads of the target stand still would keep them so.
public enum HeldSignals {
    /// Runs `body` with the signals held back in this OS thread and in those that
    /// it starts. Afterwards those that came are delivered.
    public static func during<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        var held = sigset_t()
        var before = sigset_t()
        unsafe sigfillset(&held)
        // Those that tell of a fault of this program itself.
        for signal in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT] {
            unsafe sigdelset(&held, signal)
        }
        unsafe pthread_sigmask(SIG_BLOCK, &held, &before)
        defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
        return try body()
    }

    /// Ends the tool as the signal would have, now that it has tidied up: who
    /// started it is to see that it was interrupted.
    public static func endProcess(by number: Int32) -> Never {
        signal(number, SIG_DFL)
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe pthread_sigmask(SIG_UNBLOCK, &all, nil)
        kill(getpid(), number)
        // Not reached, but for the first process of a pid namespace.
        exit(128 + number)
    }

    /// The signal that has asked the tool to end; 0 before one did. Every thread
    /// that works for it is to hear of it.
    private static let arrived = Atomic<Int32>(0)

    /// Throws `interrupted` where a signal has come that asks the tool to end. The
    /// caller is to let go of everything, say so, and raise it again.
    static func check() throws(SwitchoverError) { try pause(.zero) }

    /// Waits for `duration`, or until such a signal comes.
    static func pause(_ duration: Duration) throws(SwitchoverError) {
        let earlier = arrived.load(ordering: .relaxed)
        if earlier != 0 { throw .interrupted(signal: earlier) }
        var wanted = requestsToEnd()
        let (seconds, attoseconds) = max(duration, .zero).components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        let signal = unsafe sigtimedwait(&wanted, nil, &time)
        guard signal > 0 else { return }
        arrived.store(signal, ordering: .relaxed)
        throw .interrupted(signal: signal)
    }

    /// A terminal's hang-up means nothing to a program that was started with nohup.
    private static func requestsToEnd() -> sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            var action = sigaction()
            unsafe sigaction(signal, nil, &action)
            let handler = unsafe action.__sigaction_handler.sa_handler
            let isIgnored = unsafe unsafeBitCast(handler, to: Int.self) == 1  // SIG_IGN
            if !isIgnored { unsafe sigaddset(&set, signal) }
        }
        return set
    }
}
