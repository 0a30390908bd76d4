import Glibc
import Synchronization

/// OS threads that share a list of independent pieces of work, such as processes to
/// patch: each works on one at a time, from its first step to its last.
public enum WorkerThreads {
    /// As many as there were processors when this was first asked: each time the C
    /// library reads a file, also where a program stands still meanwhile.
    public static let processorCount = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))

    /// What `work` makes of each element, in the order of the elements.
    ///
    /// - Parameter limit: how many threads work at most, the caller's included.
    public static func map<Element: Sendable, Outcome: Sendable>(
        _ elements: [Element], limit: Int = processorCount,
        _ work: @Sendable (Element) -> Outcome
    ) -> [Outcome] {
        guard elements.count > 1 else { return elements.map(work) }
        let share = Share<Outcome>(count: elements.count)
        withoutActuallyEscaping(work) { work in
            let turn: @Sendable () -> Void = {
                while let index = share.next() { share.note(work(elements[index]), at: index) }
            }
            take(turn, onOtherThreads: min(limit, elements.count) - 1)
        }
        return share.outcomes
    }

    private static func take(_ turn: @escaping @Sendable () -> Void, onOtherThreads count: Int) {
        // Where there can be no other thread, this one does it all.
        guard count > 0, let other = try? OSThread(turn) else { return turn() }
        take(turn, onOtherThreads: count - 1)
        other.join()
    }

    private final class Share<Outcome: Sendable>: Sendable {
        private let count: Int
        private let position = Atomic<Int>(0)
        private let found: Mutex<[Int: Outcome]> = Mutex([:])

        init(count: Int) { self.count = count }

        func next() -> Int? {
            let index = position.add(1, ordering: .relaxed).oldValue
            return index < count ? index : nil
        }

        func note(_ outcome: Outcome, at index: Int) { found.withLock { $0[index] = outcome } }

        var outcomes: [Outcome] {
            found.withLock { found in found.sorted { $0.key < $1.key }.map(\.value) }
        }
    }
}
