import SystemPackage

/// Holding programs at their start, which the service does.
extension MachineFacts {
    var holdFindings: [Finding] { [holdFinding, deadlockFinding, interpreterFinding] }

    private static let fallback =
        "programs that start run unpatched for a moment, until the service has found them"

    private var holdFinding: Finding {
        let id = "hold.trial"
        let title = "holding a program (fanotify), tried"
        guard case .success(let trial) = execHold else { return notTried(id, title, execHold) }
        guard let failure = firstFailure(of: trial, in: [.initialize, .mark, .event]) else {
            return Finding(
                id, title, found: "works", for: .service,
                meaning: "programs can be held at their start until they are patched")
        }
        let isPermission = trial[.initialize] == .failed(.notPermitted)
        return Finding(
            id, title, found: "\(failure.step): \(failure.text)", .missing, for: .service,
            meaning: failure.step == .event
                ? "the trial's folder may be on a file system that runs no programs"
                : Self.fallback,
            remedy: failure.step == .event
                ? "TMPDIR=/var/tmp hotpatch doctor"
                : isPermission
                    ? remedy(for: .administration)
                    : "boot a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS")
    }

    private var deadlockFinding: Finding {
        let id = "hold.seize"
        let title = "tracing a held program, tried"
        guard case .success(let trial) = execHold else { return notTried(id, title, execHold) }
        guard trial[.event] == .done else { return notReached(id, title) }
        guard let failure = firstFailure(of: trial, in: [.seize, .allow, .stop, .end]) else {
            return Finding(
                id, title, found: "works", for: .service,
                meaning: "programs are patched before their first instruction")
        }
        if failure.step == .seize, trial[.seize] == .blocked {
            return Finding(
                id, title, found: "does not return", .limits, for: .service,
                meaning: "this kernel holds a lock in exec that tracing waits for (before Linux "
                    + "6.8): the service falls back, and \(Self.fallback)",
                remedy: "boot Linux 6.8 or newer")
        }
        return Finding(
            id, title, found: "\(failure.step): \(failure.text)", .limits, for: .service,
            meaning: "the service falls back: \(Self.fallback)", remedy: remedy(for: .tracing))
    }

    /// Every kernel known holds that lock while it opens a script's interpreter.
    private var interpreterFinding: Finding {
        let id = "hold.interpreter"
        let title = "the same for a script's interpreter"
        guard case .success(let trial) = interpreterHold else {
            return notTried(id, title, interpreterHold)
        }
        guard trial[.event] == .done else { return notReached(id, title) }
        if firstFailure(of: trial, in: [.seize, .allow, .stop, .end]) == nil {
            return Finding(
                id, title, found: "works", for: .service,
                meaning: "interpreters are patched before their first instruction")
        }
        return Finding(
            id, title, found: "does not return", .limits, for: .service,
            meaning: "an interpreter that a script starts runs unpatched for a moment; the same "
                + "program started by its own name does not")
    }

    private func notTried(
        _ id: String, _ title: String, _ attempt: Attempt<ExecHoldStep>
    ) -> Finding {
        var cause = ""
        if case .failure(let error) = attempt { cause = ": \(error)" }
        return Finding(
            id, title, found: "not tried\(cause)", .limits, for: .service,
            meaning: "the trial needs a folder for temporary files",
            remedy: "TMPDIR=/var/tmp hotpatch doctor")
    }

    private func notReached(_ id: String, _ title: String) -> Finding {
        Finding(
            id, title, found: "not tried", .limits, for: .service,
            meaning: "a program must be held before it can be traced there")
    }
}
