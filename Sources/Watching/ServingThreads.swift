import CLinuxTrace
import Glibc
import Synchronization
import SystemPackage
import Threads

/// OS threads that serve starts, each one at a time. One that is done waits for the next
/// start, which then need not wait until a thread is made.
///
/// One that still traces anything ends instead: the kernel then lets go of it, and tells
/// the parent of what has ended (``SeizedThread``).
final class ServingThreads: Sendable {
    /// So many wait at most; each takes little but a stack.
    private static let mostWaiting = 4

    private let waiting = Mutex<[Waiter]>([])

    /// Has the work done by an OS thread of its own, and returns at once. Throws what
    /// pthread_create(3) answers.
    func run(_ work: @escaping @Sendable () -> Void) throws(Errno) {
        if let waiter = waiting.withLock({ $0.popLast() }) { return waiter.give(work) }
        try OSThread {
            let waiter = Waiter()
            var next: (@Sendable () -> Void)? = work
            while let work = next {
                work()
                next = self.canWait(waiter) ? waiter.take() : nil
            }
        }.detach()
    }

    private func canWait(_ waiter: Waiter) -> Bool {
        guard clinux_traces_nothing() else { return false }
        return waiting.withLock { waiting in
            guard waiting.count < Self.mostWaiting else { return false }
            waiting.append(waiter)
            return true
        }
    }

    /// A thread that waits for work.
    @safe private final class Waiter: Sendable {
        private let work = Mutex<(@Sendable () -> Void)?>(nil)
        private nonisolated(unsafe) let bell: UnsafeMutablePointer<sem_t>

        init() {
            unsafe bell = .allocate(capacity: 1)
            unsafe sem_init(bell, 0, 0)
        }

        deinit {
            unsafe sem_destroy(bell)
            unsafe bell.deallocate()
        }

        func give(_ work: @escaping @Sendable () -> Void) {
            self.work.withLock { $0 = work }
            unsafe sem_post(bell)
        }

        func take() -> (@Sendable () -> Void)? {
            // EINTR: woken by a signal.
            while unsafe sem_wait(bell) != 0 {}
            return work.withLock { work in
                defer { work = nil }
                return work
            }
        }
    }
}
