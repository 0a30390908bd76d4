import CTrials
import SystemPackage

/// What became of one step of a trial.
enum TrialOutcome: Equatable, Sendable {
    case done
    case failed(Errno)
    /// An earlier step failed.
    case notReached
    /// It had not returned when the time was up.
    case blocked
}

/// The steps of one kind of trial, numbered as `CTrials.h` does.
protocol TrialStep: CaseIterable, RawRepresentable, Sendable where RawValue == UInt32 {
    static var kind: ctrials_kind { get }
}

/// What was found when something was really tried, on processes made for it.
struct Trial<Step: TrialStep>: Sendable {
    private let outcomes: [TrialOutcome]

    subscript(step: Step) -> TrialOutcome {
        let index = Int(step.rawValue)
        return outcomes.indices.contains(index) ? outcomes[index] : .notReached
    }

    /// The first step that was not done, and why.
    var failure: (step: Step, outcome: TrialOutcome)? {
        for step in Step.allCases where self[step] != .done { return (step, self[step]) }
        return nil
    }

    init(_ outcomes: [TrialOutcome]) { self.outcomes = outcomes }

    /// Tries it, for at most `milliseconds`: all of it takes a few where nothing
    /// blocks. Throws where the trial itself could not be made.
    static func run(
        marking marked: FilePath = "", running program: FilePath = "",
        milliseconds: UInt32 = 2_000
    ) throws(Errno) -> Trial {
        var result = ctrials_result()
        let code = unsafe marked.withPlatformString { marked in
            unsafe program.withPlatformString { program in
                unsafe ctrials_run(Step.kind, marked, program, milliseconds, &result)
            }
        }
        guard code == 0 else { throw Errno(rawValue: -code) }
        return unsafe withUnsafeBytes(of: result.steps) { bytes in
            Trial(unsafe bytes.bindMemory(to: Int32.self).map(outcome))
        }
    }

    private static func outcome(_ step: Int32) -> TrialOutcome {
        switch step {
        case 0: .done
        case Int32(CTRIALS_BEGUN): .blocked
        case Int32(CTRIALS_NOT_REACHED): .notReached
        default: .failed(Errno(rawValue: -step))
        }
    }
}

/// Another process's memory, without tracing it.
enum MemoryStep: UInt32, TrialStep {
    case read, compare, open, write
    static var kind: ctrials_kind { CTRIALS_MEMORY }
}

/// Tracing another process, and writing its memory as its tracer.
enum TraceStep: UInt32, TrialStep {
    case seize, stop, write, poke, detach
    static var kind: ctrials_kind { CTRIALS_TRACE }
}

/// Executable memory, from a file in memory and without one.
enum PayloadStep: UInt32, TrialStep {
    case memfd, map, anonymous
    static var kind: ctrials_kind { CTRIALS_PAYLOAD }
}

/// Real-time priority.
enum PriorityStep: UInt32, TrialStep {
    case set
    static var kind: ctrials_kind { CTRIALS_PRIORITY }
}

/// Holding a program at its start.
enum ExecHoldStep: UInt32, TrialStep {
    case initialize, mark, event, seize, allow, stop, end
    static var kind: ctrials_kind { CTRIALS_EXEC_HOLD }
}
