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
    /// - Parameters:
    ///   - timeout: how long to wait for another instance.
    ///   - pause: waits for a moment, while another instance works on the process.
    ///
    /// Throws what `body` throws; `occupied` where the other one is not done in
    /// time, or `notPermitted`, both made an error of `body`'s by `failure`.
    public func withExclusiveAccess<R, Failure: Error>(
        timeout: Duration, failure: (LiveProcessError) -> Failure,
        pause: () throws(Failure) -> Void, _ body: () throws(Failure) -> R
    ) throws(Failure) -> R {
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        let file: Int32
        do throws(LiveProcessError) { file = try memory().rawValue } catch { throw failure(error) }
        while true {
            do throws(LiveProcessError) {
                if try lock(file) { break }
                guard clock.now < deadline else { throw LiveProcessError.occupied(id) }
            } catch {
                throw failure(error)
            }
            try pause()
        }
        defer { flock(file, LOCK_UN) }
        return try body()
    }

    /// false where somebody else has it.
    private func lock(_ file: Int32) throws(LiveProcessError) -> Bool {
        if flock(file, LOCK_EX | LOCK_NB) == 0 { return true }
        let error = Errno(rawValue: errno)
        guard error == .wouldBlock || error == .interrupted else {
            throw .system(id, action: "lock the memory of", error)
        }
        return false
    }
}
