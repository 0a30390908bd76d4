import CLinuxTrace
import Glibc
import Synchronization
import SystemPackage
import Threads

/// An OS thread for one piece of tracing.
///
/// ptrace answers only the OS thread that seized, and when that thread ends the
/// kernel detaches whatever it still traces, stopped or not, as if it had never
/// been traced (kernel/ptrace.c, exit_ptrace). So nothing is left traced on any
/// path, a thread in uninterruptible sleep included, which PTRACE_DETACH could
/// not let go; and priority and affinity of the caller's thread stay as they are.
enum TracerThread {
    /// Runs `body` on a new OS thread and waits for it, keeping `watch`. Throws
    /// what pthread_create(3) or pipe2(2) answers where there can be no new thread.
    static func run<R>(_ watch: SeizeWatch, _ body: () -> R) throws(Errno) -> R {
        var ends: [Int32] = [-1, -1]
        let piped = unsafe clinux_pipe(&ends)
        if piped < 0 { throw Errno(rawValue: -piped) }
        let (done, finishing) = (Descriptor(rawValue: ends[0]), ends[1])
        var result: R?
        let failure = withoutActuallyEscaping({ result = body() }) { body -> Errno? in
            do throws(Errno) {
                let thread = try OSThread {
                    var report = Pause.report
                    unsafe pthread_sigmask(SIG_BLOCK, &report, nil)
                    body()
                    // That wakes the watch.
                    close(finishing)
                }
                var waiter = pollfd(fd: done.rawValue, events: Int16(POLLIN), revents: 0)
                while unsafe poll(&waiter, 1, 10) <= 0 { watch.look() }
                thread.join()
                return nil
            } catch {
                close(finishing)
                return error
            }
        }
        if let failure { throw failure }
        guard let result else { throw .noMemory }
        return result
    }
}

/// Breaks the one deadlock between a tracer and its target.
///
/// A thread that calls execve holds a lock while it waits for the other threads
/// to be gone. Those that are traced are not gone before their tracer has noted
/// their end; and PTRACE_SEIZE waits for the lock (kernel/ptrace.c, ptrace_attach;
/// fs/exec.c, de_thread). So while the tracing OS thread is caught there, the
/// thread that waits for it takes note of those ends in its place.
final class SeizeWatch: Sendable {
    private let target: TargetProcess
    /// When the PTRACE_SEIZE that is being made began; 0 outside of one.
    private let began = Atomic<UInt64>(0)

    init(_ target: TargetProcess) { self.target = target }

    /// Runs `seize`, of which it is told if it does not come back.
    func during<R>(_ seize: () throws(Errno) -> R) throws(Errno) -> R {
        began.store(monotonicNanoseconds(), ordering: .relaxed)
        defer { began.store(0, ordering: .relaxed) }
        return try seize()
    }

    /// Called by the waiting thread from time to time.
    fileprivate func look() {
        let start = began.load(ordering: .relaxed)
        guard start != 0, monotonicNanoseconds() &- start > 5_000_000 else { return }
        do throws(Errno) {
            var tasks = try TaskList(of: target)
            for thread in try tasks.read()
            where thread.rawValue != target.id.rawValue && tasks.state(of: thread) == .dead {
                clinux_reap_sibling(thread.rawValue)
            }
        } catch {
            // The process is gone, and with it what anyone could wait for.
            return
        }
    }
}
