import Switchover
import TestSupport

/// Kills the worker again and again, and looks at what it leaves.
public struct Torturer {
    private let programs: Programs
    private let subject: Subject
    private let worker: Worker
    private var random: Mutator

    /// What is applied, by what the victim says of itself.
    private var situation = Situation()
    /// Whether something killed has not been put right yet.
    private var isDirty = false
    /// Patches whose payloads are in the victim, in use or not: they stay, and need
    /// not be mapped again.
    private var mapped: Set<String> = []
    /// How long an operation takes, in nanoseconds.
    private var durations: [String: UInt64] = [:]
    /// What was done last, for messages.
    private var history: [String] = []
    public private(set) var tally = Tally()

    public init(_ programs: Programs, seed: UInt64) throws {
        self.programs = programs
        subject = try Subject(programs)
        worker = try Worker(for: subject.pid, patches: Array(programs.patches.values))
        random = Mutator(seed: seed)
    }

    /// Goes on until the worker was killed so often.
    public mutating func run(kills: Int) throws(Violation) {
        do {
            while tally.kills < kills { try step() }
            try settle()
            tally.interrupted = try subject.report().interrupted
        } catch {
            let violation = error as? Violation ?? Violation(.hang, "\(error)")
            throw Violation(
                violation.kind,
                """
                \(violation.description)
                after \(history.suffix(12).joined(separator: "\n  "))
                \(worker.threads)\(describeThreads(of: subject.pid))
                """)
        }
    }

    /// One operation that is killed, or ends before; then the world is looked at,
    /// and mostly put right.
    private mutating func step() throws {
        // What puts things right is to be killed too, where it has something to do.
        let recovers = random.next(below: isDirty ? 2 : 20) == 0
        let operation = recovers ? .recover : randomOperation()
        try perform(operation, randomDeath(of: operation))
        switch random.next(below: 10) {
        case 0..<4: try settle()
        case 4..<7 where isDirty:
            // The next command puts right what the last one left.
            try perform(randomOperation(), .never)
            try expectClean()
        case 4..<7: try expectClean()
        default: break
        }
    }

    private mutating func randomOperation() -> Operation {
        let all = Operation.suitable(in: situation)
        return all[random.next(below: all.count)]
    }

    /// Somewhere in the time that it takes, or soon after the beginning of a phase:
    /// some phases take a few microseconds, and others hundreds of them.
    private mutating func randomDeath(of operation: Operation) -> Worker.Death {
        if random.next(below: 3) == 0 {
            let duration = durations[operation.kind] ?? 20_000_000
            return .after(random.next() % (duration + duration / 10))
        }
        let isFirst = !operation.patches.isSubset(of: mapped)
        let limit: UInt64 = [1, 10_000, 200_000][random.next(below: 3)]
        return .at(operation.randomPhase(isFirst: isFirst, &random), random.next() % limit)
    }

    /// Does one operation, and checks what holds whatever became of it.
    public mutating func perform(_ operation: Operation, _ death: Worker.Death) throws {
        let before = try subject.report()
        let start = ContinuousClock.now
        history.append("\(operation.request) \(death)")
        let outcome = try worker.perform(operation, death)
        history[history.count - 1] += ": \(outcome)"
        let goal = operation.result(in: situation)
        var wasUndisturbed = false
        switch outcome {
        case .done:
            if case .never = death {
                durations[operation.kind] = (ContinuousClock.now - start).nanoseconds
            }
            situation = goal
            mapped.formUnion(goal.names)
            if !isDirty { wasUndisturbed = true }
            isDirty = false
            tally.completed += 1
        case .failed(let why) where why.hasPrefix("busy") || why.hasPrefix("cannotStop"):
            tally.refused += 1
            isDirty = true
        case .failed(let why): throw Violation(.other, "\(operation.request): \(why)")
        case .killed(let phase):
            tally.note(operation, phase)
            isDirty = true
        }
        let after = try lookAround(before, goal)
        if wasUndisturbed, after.interrupted != before.interrupted {
            throw Violation(
                .interruption,
                "\(before.interrupted), then, with nothing killed: \(after.interrupted)")
        }
    }

    /// What must hold at all times, before anything is put right.
    private mutating func lookAround(_ before: Subject.Report, _ goal: Situation) throws
        -> Subject.Report
    {
        try subject.remains.expectNoTracedThread()
        let versions = try subject.report().versions
        switch versions {
        case situation.versions: break
        case goal.versions:
            situation = goal
            mapped.formUnion(goal.names)
        default:
            throw Violation(
                .mix, "versions \(versions), neither \(situation.versions) nor \(goal.versions)")
        }
        return try subject.expectProgress(since: before)
    }

    /// Sees to it that what is applied is what these operations lead to.
    public mutating func reach(_ operations: [Operation]) throws {
        let wanted = operations.reduce(Situation()) { $1.result(in: $0) }
        if situation == wanted { return }
        try perform(.revertAll, .never)
        for operation in operations { try perform(operation, .never) }
    }

    /// Has everything put right, and checks that it is.
    public mutating func settle() throws {
        let versions = situation.versions
        try perform(.recover, .never)
        guard situation.versions == versions else {
            throw Violation(
                .mix, "versions \(situation.versions) after recover, \(versions) before")
        }
        try expectClean()
    }

    public mutating func expectClean() throws {
        // A thread may be in a stub still, which then stays until it has left.
        try wait(until: "no thread is in a stub of a remote call any more") {
            guard try subject.remains.hasStub() else { return true }
            tally.stubsKept += 1
            _ = try worker.perform(.recover)
            return false
        }
        try subject.remains.expectClean(situation.names)
    }
}

extension Duration {
    fileprivate var nanoseconds: UInt64 {
        UInt64(components.seconds) * 1_000_000_000
            + UInt64(components.attoseconds / 1_000_000_000)
    }
}
