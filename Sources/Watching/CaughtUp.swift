import LiveProcess
import PatchStore
import Switchover

/// Processes that ran unpatched for a while and were patched then, as long as they run.
struct CaughtUp {
    private struct Key: Hashable {
        let process: ProcessID
        let startTime: UInt64
        let patch: String
    }

    /// How often those that have ended are looked for, in nanoseconds: each costs a look.
    private static let interval: UInt64 = 5_000_000_000
    private var entries: [Key: WatchRecord.CaughtUp] = [:]
    private var looked: UInt64 = 0

    /// As `RUN/watch.json` tells them.
    var all: [WatchRecord.CaughtUp] {
        entries.values.sorted { ($0.process, $0.patch) < ($1.process, $1.patch) }
    }

    /// Takes note of what came of a process.
    ///
    /// - Parameter date: seconds since 1970.
    mutating func note(_ outcome: ProcessOutcome, date: Int64) {
        guard outcome.occasion == .running else { return }
        for one in outcome.outcomes {
            guard case .success(let report) = one.result else { continue }
            let (process, startTime) = (outcome.process, outcome.startTime)
            let key = Key(process: process, startTime: startTime, patch: one.patch.name)
            switch report.outcome {
            case .applied:
                entries[key] = WatchRecord.CaughtUp(
                    process: process.rawValue, startTime: startTime, patch: one.patch.name,
                    at: date)
            case .reverted: entries[key] = nil
            case .alreadyApplied, .alreadyReverted, .possible: break
            }
        }
    }

    /// Forgets those that have ended, where it is time to look.
    mutating func forgetEnded(now: UInt64) {
        guard now &- looked > Self.interval else { return }
        looked = now
        entries = entries.filter { key, _ in
            do throws(LiveProcessError) {
                return try TargetProcess.find(key.process).startTime == key.startTime
            } catch {
                return false
            }
        }
    }
}
