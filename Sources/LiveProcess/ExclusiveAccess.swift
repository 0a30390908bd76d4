import Glibc
import SystemPackage

extension TargetProcess {
    /// Keeps every other instance of this tool away from the process while `body`
    /// runs: two that work on one process at the same time would write over each
    /// other's stubs and judge code that the other one is changing.
    ///
    /// The lock is the kernel's, on /proc/PID/mem (flock(2)). Only who may trace
    /// the process can take it, and the kernel lets go of it when its holder dies.
    ///
    /// - Parameter timeout: how long to wait for another instance.
    ///
    /// Throws what `body` throws; `occupied` where the other one is not done in
    /// time, or `notPermitted`, both made an error of `body`'s by `failure`.
    public func withExclusiveAccess<R, Failure: Error>(
        timeout: Duration, failure: (LiveProcessError) -> Failure,
        _ body: () throws(Failure) -> R
    ) throws(Failure) -> R {
        let file: Int32
        do throws(LiveProcessError) {
            file = try memory().rawValue
            try lock(file, timeout: timeout)
        } catch {
            throw failure(error)
        }
        defer { flock(file, LOCK_UN) }
        return try body()
    }

    private func lock(_ file: Int32, timeout: Duration) throws(LiveProcessError) {
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        while flock(file, LOCK_EX | LOCK_NB) != 0 {
            let error = Errno(rawValue: errno)
            guard error == .wouldBlock || error == .interrupted else {
                throw .system(id, action: "lock the memory of", error)
            }
            guard clock.now < deadline else { throw .occupied(id) }
            var pause = timespec(tv_sec: 0, tv_nsec: 1_000_000)
            unsafe nanosleep(&pause, nil)
        }
    }
}
