import Synchronization

/// What was read of a process whose only thread stands at its exec. Nothing but the
/// calling OS thread can change it then: so one look at it serves until the thread makes
/// a call for us, and is no more believed once the thread has been led on.
final class StandingFacts: Sendable {
    struct Known: Sendable {
        var map: MemoryMap?
        var objects: [LoadedObject]?
        var facts: ProcessFacts?
    }

    /// nil from when the thread has run.
    private let known = Mutex<Known?>(Known())

    /// What is known at that place, or else what `look` finds.
    func value<Value: Sendable>(
        _ place: any WritableKeyPath<Known, Value?> & Sendable,
        or look: () throws(LiveProcessError) -> Value
    ) throws(LiveProcessError) -> Value {
        if let value = known.withLock({ $0?[keyPath: place] }) { return value }
        let value = try look()
        known.withLock { $0?[keyPath: place] = value }
        return value
    }

    /// The thread makes a call for us.
    func forgetMappings() {
        known.withLock { known in
            known?.map = nil
            known?.objects = nil
        }
    }

    /// The thread goes on, with what it would do by itself.
    func end() { known.withLock { $0 = nil } }
}
