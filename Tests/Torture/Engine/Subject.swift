import Glibc
import TestSupport

/// The victim, and what it says of itself.
public final class Subject {
    private let victim: Victim
    /// It seen from outside.
    public let remains: Remains

    public var pid: Int32 { victim.pid }

    public init(_ programs: Programs) throws {
        victim = try Victim(programs.victim)
        guard try victim.readLine() == "ready" else {
            throw Violation(.other, "the victim does not start")
        }
        remains = try Remains(of: victim.pid)
    }

    /// One answer of the victim.
    struct Report {
        let versions: [Int]
        let progress: [UInt64]
        /// Which blocking calls have returned EINTR, and how often.
        let interrupted: [String: Int]
    }

    /// Asks it, and checks what must hold at all times.
    func report() throws -> Report {
        guard victim.isRunning else { throw Violation(.death, "the victim has ended") }
        let line: String
        do { line = try victim.ask("") } catch {
            let kind: Violation.Kind = victim.isRunning ? .hang : .death
            throw Violation(kind, "the victim does not answer: \(error)")
        }
        var fields: [Substring: Substring] = [:]
        for field in line.split(separator: " ") {
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { fields[parts[0]] = parts[1] }
        }
        guard fields["sums"] == "0" else { throw Violation(.sum, line) }
        guard fields["mixed"] == "0" else { throw Violation(.mix, line) }
        guard fields["unexpected"] == "0" else { throw Violation(.other, line) }
        let interrupted = counts(in: fields["interrupted"] ?? "")
        if let call = interrupted.keys.first(where: { !mayBeInterrupted($0) }) {
            throw Violation(.interruption, "\(call) returned EINTR, which restarts by itself")
        }
        func numbers(_ name: Substring) -> [UInt64] {
            (fields[name] ?? "").split(separator: ",").compactMap { UInt64($0) }
        }
        return Report(
            versions: numbers("versions").map(Int.init), progress: numbers("progress"),
            interrupted: interrupted)
    }

    private func counts(in list: Substring) -> [String: Int] {
        var counts: [String: Int] = [:]
        for item in list.split(separator: ",") {
            let parts = item.split(separator: ":")
            if parts.count == 2 { counts[String(parts[0])] = Int(parts[1]) }
        }
        return counts
    }

    /// Whether a mere stop ends the call with EINTR, which a tool that dies between
    /// the stop and what hides it leaves behind.
    private func mayBeInterrupted(_ call: String) -> Bool {
        call.hasPrefix("epoll_") || call.hasSuffix("_timeout")
            || [
                "sigtimedwait", "sigwaitinfo", "semop", "semtimedop", "io_getevents",
                "io_pgetevents", "io_uring_enter",
            ].contains(call)
    }

    /// Which version each group of its functions has: solo, chain, front, short.
    public func versions() throws -> [Int] { try report().versions }

    /// Waits until every counter has moved on since `before`.
    func expectProgress(since before: Report) throws -> Report {
        let deadline = ContinuousClock.now + .seconds(30)
        while true {
            let now = try report()
            if zip(now.progress, before.progress).allSatisfy(>) { return now }
            guard ContinuousClock.now < deadline else {
                throw Violation(.hang, "\(now.progress) after \(before.progress) 30 s before")
            }
            usleep(500)
        }
    }
}
