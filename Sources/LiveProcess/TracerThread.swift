import Glibc
import SystemPackage

/// An OS thread for one piece of tracing.
///
/// ptrace answers only the OS thread that seized, and when that thread ends the
/// kernel detaches whatever it still traces, stopped or not, as if it had never
/// been traced (kernel/ptrace.c, exit_ptrace). So nothing is left traced on any
/// path, a thread in uninterruptible sleep included, which PTRACE_DETACH could
/// not let go; and priority and affinity of the caller's thread stay as they are.
enum TracerThread {
    /// Runs `body` on a new OS thread and waits for it. Throws what
    /// pthread_create(3) answers where there can be no new thread.
    static func run<R>(_ body: () -> R) throws(Errno) -> R {
        var result: R?
        let failure = withoutActuallyEscaping({ result = body() }) { work in
            runAndJoin(Work(body: work))
        }
        guard let result else { throw Errno(rawValue: failure) }
        return result
    }

    private final class Work {
        let body: () -> Void
        init(body: @escaping () -> Void) { self.body = body }
    }

    /// 0, or the error number.
    private static func runAndJoin(_ work: Work) -> Int32 {
        let box = unsafe Unmanaged.passRetained(work)
        var thread = pthread_t()
        let failure = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        guard failure == 0 else {
            unsafe box.release()
            return failure
        }
        return pthread_join(thread, nil)
    }
}
