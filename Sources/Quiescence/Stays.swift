import Addresses
import LiveProcess

/// Remembers from one look at the threads to the next who was found in which call:
/// a thread that never leaves it makes waiting useless.
///
/// It says no more than what was seen. A thread that left the function and came
/// back to the same place of its stack between all looks would look the same.
public struct Stays {
    private struct Entry {
        let symbol: String
        let frame: RemoteAddress
        let start: ContinuousClock.Instant
        var last: ContinuousClock.Instant
        var looks = 1
    }

    private var entries: [ThreadID: Entry] = [:]
    /// Fewer looks, or a shorter time, tell nothing.
    private static let fewestLooks = 5
    private static let shortestTime = Duration.seconds(1)

    public init() {}

    /// The threads that were found, to be watched for at the next look.
    public var threads: [ThreadID] { Array(entries.keys) }

    /// Takes note of a look at `now`.
    ///
    /// - Parameters:
    ///   - left: those of ``threads`` that were found out of the way.
    public mutating func note(
        _ activities: [Activity], left: [ThreadID], at now: ContinuousClock.Instant
    ) {
        for thread in left { entries[thread] = nil }
        for activity in activities {
            guard activity.isCertain, let frame = activity.frame else {
                entries[activity.thread] = nil
                continue
            }
            let symbol = activity.stretch.symbol
            if let entry = entries[activity.thread], entry.symbol == symbol, entry.frame == frame {
                entries[activity.thread]?.last = now
                entries[activity.thread]?.looks += 1
            } else {
                entries[activity.thread] = Entry(
                    symbol: symbol, frame: frame, start: now, last: now)
            }
        }
    }

    /// The activities with what is known of how long each has lasted, where that
    /// is nearly all of `whole`.
    public func told(_ activities: [Activity], within whole: Duration) -> [Activity] {
        activities.map { activity in
            guard let entry = entries[activity.thread], entry.looks >= Self.fewestLooks,
                case let duration = entry.last - entry.start,
                duration >= max(whole * 0.8, Self.shortestTime)
            else { return activity }
            var activity = activity
            activity.stay = Activity.Stay(looks: entry.looks, duration: duration)
            return activity
        }
    }
}
