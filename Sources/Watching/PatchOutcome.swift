import LiveProcess
import PatchFile
import PatchStore
import Startup
import Switchover

/// What came of one patch in one process.
struct PatchOutcome: Sendable {
    let action: SeriesStep.Action
    let patch: PatchID
    let base: BaseIdentity
    let result: Result<SwitchReport, StartFailure>

    init(_ step: SeriesStep) {
        action = step.action
        patch = step.patch
        base = step.base
        result = step.outcome.mapError(StartFailure.switchover)
    }

    /// nil where the patch is for a library that the program does not load.
    init?(_ report: StartReport) {
        if case .failure(.baseNotMapped) = report.outcome { return nil }
        self.init(report.patch, report.outcome)
    }

    /// Of a patch that is to be applied.
    init(_ file: PatchFile, _ result: Result<SwitchReport, StartFailure>) {
        action = .apply
        patch = PatchID(file)
        base = file.manifest.base.identity
        self.result = result
    }
}

/// What came of one process.
struct ProcessOutcome: Sendable {
    enum Occasion: String, Sendable {
        /// Held at its start, before its first instruction.
        case start
        /// Held while it loaded a library.
        case load
        /// It ran already.
        case running
    }

    let process: ProcessID
    /// Clock ticks after boot.
    let startTime: UInt64
    /// The path of its program; empty where it was gone already.
    let executable: String
    let occasion: Occasion
    /// None where all was as it should be.
    let outcomes: [PatchOutcome]
}
