import CLinuxTrace
import Glibc
import Synchronization
import SystemPackage

/// A thread of the operating system: ptrace answers only the one that seized.
package struct OSThread: ~Copyable {
    private let thread: pthread_t
    private let body: Body

    private final class Body {
        let run: () -> Void
        /// The kernel's number of the thread.
        let number = Atomic<Int32>(0)
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Starts `body`. Throws what pthread_create(3) answers.
    package init(_ body: @escaping () -> Void) throws(Errno) {
        let body = Body(body)
        let box = unsafe Unmanaged.passRetained(body)
        var thread = pthread_t()
        let failure = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let body = unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
                body.number.store(clinux_thread_id(), ordering: .relaxed)
                body.run()
                return nil
            }, box.toOpaque())
        guard failure == 0 else {
            unsafe box.release()
            throw Errno(rawValue: failure)
        }
        self.thread = thread
        self.body = body
    }

    /// Waits for its end, and for the kernel to have let go of what it traced:
    /// pthread_join(3) returns a moment before that, when the thread's memory is
    /// given back (kernel/exit.c, exit_mm before exit_notify).
    package consuming func join() {
        pthread_join(thread, nil)
        let place = "/proc/self/task/\(body.number.load(ordering: .relaxed))"
        while unsafe access(place, F_OK) == 0 { usleep(20) }
    }

    /// Leaves it to itself: nobody waits for its end.
    package consuming func detach() { pthread_detach(thread) }

    /// The kernel's number of the calling thread.
    package static var current: Int32 { clinux_thread_id() }
}
