import Glibc
import SystemPackage

/// A thread of the operating system: ptrace answers only the one that seized.
struct OSThread: ~Copyable {
    private let thread: pthread_t

    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Starts `body`. Throws what pthread_create(3) answers.
    init(_ body: @escaping () -> Void) throws(Errno) {
        let box = unsafe Unmanaged.passRetained(Body(body))
        var thread = pthread_t()
        let failure = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, box.toOpaque())
        guard failure == 0 else {
            unsafe box.release()
            throw Errno(rawValue: failure)
        }
        self.thread = thread
    }

    /// Waits for its end.
    consuming func join() { pthread_join(thread, nil) }
}
