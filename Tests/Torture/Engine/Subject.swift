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
        func numbers(_ name: Substring) -> [UInt64] {
            (fields[name] ?? "").split(separator: ",").compactMap { UInt64($0) }
        }
        var interrupted: [String: Int] = [:]
        for call in (fields["interrupted"] ?? "").split(separator: ",") {
            let parts = call.split(separator: ":")
            if parts.count == 2 { interrupted[String(parts[0])] = Int(parts[1]) }
        }
        return Report(
            versions: numbers("versions").map(Int.init), progress: numbers("progress"),
            interrupted: interrupted)
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
