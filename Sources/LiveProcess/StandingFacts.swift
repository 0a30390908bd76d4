import Synchronization

/// What was read of a process whose only thread stands at its exec. Nothing but the
/// calling OS thread can change it then: so one look at it serves until the thread makes
/// a call for us, and is no more believed once the thread has been led on.
final class StandingFacts: Sendable {
    /// One of them, as it was read.
    final class Fact<Value: Sendable>: Sendable {
        private let value = Mutex<Value?>(nil)

        func value(or look: () throws(LiveProcessError) -> Value) throws(LiveProcessError) -> Value
        {
            if let known = value.withLock({ $0 }) { return known }
            let found = try look()
            value.withLock { $0 = found }
            return found
        }

        func forget() { value.withLock { $0 = nil } }
    }

    let map = Fact<MemoryMap>()
    let objects = Fact<[LoadedObject]>()
    let facts = Fact<ProcessFacts>()

    private let isLedOn = Atomic<Bool>(false)
    /// The thread stands within its execve, before the end of it.
    private let isInExec = Atomic<Bool>(true)

    /// The thread has run.
    var isOver: Bool { isLedOn.load(ordering: .relaxed) }

    /// Returns whether the thread stood within its execve until now.
    func leaveExec() -> Bool { isInExec.exchange(false, ordering: .relaxed) }

    /// The thread makes a call for us.
    func forgetMappings() {
        map.forget()
        objects.forget()
    }

    /// The thread goes on, with what it would do by itself.
    func end() { isLedOn.store(true, ordering: .relaxed) }
}
