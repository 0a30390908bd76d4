import CLinuxTrace
import SystemPackage

/// A thread that the calling OS thread has seized, that goes on as if nobody had, and
/// that will run another program (execve(2)).
public struct ThreadBeforeExec: Sendable {
    public let process: ProcessID
    public let id: ThreadID

    /// What became of it.
    public enum Event: Sendable {
        /// It stands at the end of its execve.
        case exec(HeldThread)
        case ended
        /// Neither happened in time.
        case slow
    }

    /// Seizes a thread, the first where none is named. Nothing stops.
    ///
    /// Throws `alreadyTraced`, `notPermitted` or `ended`.
    public init(
        _ id: ThreadID? = nil, of process: TargetProcess
    ) throws(LiveProcessError) {
        let id = id ?? ThreadID(rawValue: process.id.rawValue)
        do throws(Errno) { try self.init(seizing: id, of: process.id) } catch {
            throw process.seizeFailure(id, error)
        }
    }

    init(seizing id: ThreadID, of process: ProcessID) throws(Errno) {
        self.process = process
        self.id = id
        try Tracee(id: id.rawValue).seize()
    }

    /// Lets a thread that stands at its exec run this program, until it runs another.
    ///
    /// Throws `ended`.
    public init(running held: HeldThread) throws(LiveProcessError) {
        process = held.process
        id = held.id
        do throws(Errno) { try held.tracee.resume(CLINUX_CONTINUE) } catch {
            throw .ended(process)
        }
    }

    /// Waits until it runs another program. Signals that come meanwhile it takes.
    ///
    /// - Parameter nanoseconds: how long.
    public func awaitExec(
        atMost nanoseconds: UInt64 = .max
    ) throws(LiveProcessError) -> Event {
        let start = monotonicNanoseconds()
        var tracee = Tracee(id: id.rawValue)
        while true {
            let elapsed = monotonicNanoseconds() &- start
            let event = tracee.wait(
                atMost: nanoseconds &- min(elapsed, nanoseconds), resting: true)
            if event == .exec { return .exec(try HeldThread(atExecOf: process)) }
            if event == .none { return .slow }
            if event == .ended {
                // Or it has taken the number of the process, as the thread does that
                // runs another program.
                guard tracee.id != process.rawValue else { return .ended }
                tracee = Tracee(id: process.rawValue)
            } else {
                guard letGoOn(tracee, after: event) else { return .ended }
            }
        }
    }

    /// Returns false where it has ended.
    private func letGoOn(_ tracee: Tracee, after event: TraceeEvent) -> Bool {
        do throws(Errno) {
            if case .signal(let signal) = event {
                try tracee.pass(signal, CLINUX_CONTINUE)
            } else if event == .stopped, tracee.isStoppedByJobControl {
                try tracee.resume(CLINUX_LISTEN)
            } else {
                try tracee.pass(0, CLINUX_CONTINUE)
            }
            return true
        } catch {
            return false
        }
    }
}
