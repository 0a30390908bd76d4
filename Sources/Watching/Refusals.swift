import LiveProcess
import PatchStore
import Startup

/// Processes that should have a patch and have not, and when each is tried again: with
/// growing pauses, since what is in the way may go.
struct Refusals {
    private struct Key: Hashable {
        let process: ProcessID
        let startTime: UInt64
    }
    private struct Entry {
        var refusals: [WatchRecord.Refusal]
        var pause: UInt64
        var due: UInt64
    }

    /// The first and the longest pause, in nanoseconds.
    private static let pauses: ClosedRange<UInt64> = 1_000_000_000...60_000_000_000
    private var entries: [Key: Entry] = [:]

    /// As `RUN/watch.json` tells them.
    var all: [WatchRecord.Refusal] {
        entries.values.flatMap(\.refusals).sorted {
            ($0.process, $0.patch) < ($1.process, $1.patch)
        }
    }

    /// When the next is due; nil where there are none.
    var nextDue: UInt64? { entries.values.map(\.due).min() }

    /// Takes note of what came of a process.
    ///
    /// - Parameters:
    ///   - now: nanoseconds, see ``monotonicNanoseconds()``.
    ///   - date: seconds since 1970.
    mutating func note(_ outcome: ProcessOutcome, now: UInt64, date: Int64) {
        let key = Key(process: outcome.process, startTime: outcome.startTime)
        let refused = outcome.outcomes.compactMap { one -> WatchRecord.Refusal? in
            guard case .failure(let error) = one.result else { return nil }
            return WatchRecord.Refusal(
                process: outcome.process.rawValue, startTime: outcome.startTime,
                patch: one.patch.name, code: error.code, message: error.description, at: date)
        }
        guard !refused.isEmpty else {
            entries[key] = nil
            return
        }
        let pause = entries[key].map { min($0.pause * 2, Self.pauses.upperBound) }
        let next = pause ?? Self.pauses.lowerBound
        entries[key] = Entry(refusals: refused, pause: next, due: now &+ next)
    }

    /// The processes that are to be tried again now.
    func due(now: UInt64) -> [ProcessID] {
        entries.filter { $0.value.due <= now }.map(\.key.process)
    }

    /// Forgets that process, which is gone, or runs another program.
    mutating func forget(_ process: ProcessID) {
        entries = entries.filter { $0.key.process != process }
    }
}

/// Processes whose start was noticed and that could not be held: looked at again and
/// again for a while, since an exec takes its time.
struct Suspects {
    private static let firstPause: UInt64 = 5_000_000
    private static let looks = 6
    private var entries: [ProcessID: (looksLeft: Int, due: UInt64)] = [:]

    var nextDue: UInt64? { entries.values.map(\.due).min() }

    mutating func add(_ process: ProcessID, now: UInt64) { entries[process] = (Self.looks, now) }

    /// Those to be looked at now; each comes back later, with four times the pause.
    mutating func due(now: UInt64) -> [ProcessID] {
        let due = entries.filter { $0.value.due <= now }
        for (process, entry) in due {
            let pause = Self.firstPause << (2 * UInt64(Self.looks - entry.looksLeft))
            entries[process] =
                entry.looksLeft > 1 ? (entry.looksLeft - 1, now &+ pause) : nil
        }
        return Array(due.keys)
    }
}
