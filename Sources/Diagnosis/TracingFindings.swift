/// Stopping other processes.
extension MachineFacts {
    var tracingFindings: [Finding] { [scopeFinding, traceFinding] }

    private var scopeFinding: Finding {
        let id = "ptrace.scope"
        let title = "kernel.yama.ptrace_scope"
        let isPrivileged = capabilities.contains(.tracing)
        func finding(
            _ found: String, _ verdict: Finding.Verdict, _ meaning: String, _ remedy: String? = nil
        ) -> Finding {
            Finding(id, title, found: found, verdict, for: .apply, meaning: meaning, remedy: remedy)
        }
        switch (ptraceScope, ptraceScope.number) {
        case (.absent, _):
            return finding("not in this kernel", .ok, "processes of the same user may be traced")
        case (_, 0):
            return finding("0", .ok, "processes of the same user may be traced")
        case (_, 3):
            return finding(
                "3", .missing, "nobody may trace anything until the next boot",
                "remove kernel.yama.ptrace_scope from /etc/sysctl.d, and reboot")
        case (_, let scope?):
            if isPrivileged {
                return finding("\(scope)", .ok, "of no importance with CAP_SYS_PTRACE")
            }
            return finding(
                "\(scope)", .missing, "only root may trace processes that it did not start itself",
                tracingRemedy)
        case (.unreadable(let error), nil):
            return finding("\(error)", .ok, "it may not be read; the trial below tells")
        case (.text(let text), nil):
            return finding(text, .ok, "not understood; the trial below tells")
        }
    }

    private var traceFinding: Finding {
        let id = "ptrace.trial"
        let title = "tracing another process, tried"
        switch trace {
        case .failure(let error):
            return Finding(
                id, title, found: "not tried: \(error)", .limits, for: .apply,
                meaning: "no process could be started for the trial")
        case .success(let trial):
            if let failure = firstFailure(of: trial, in: [.seize, .stop, .detach]) {
                return Finding(
                    id, title, found: "\(failure.step): \(failure.text)", .missing, for: .apply,
                    meaning: "no process can be stopped, and so none be patched",
                    remedy: tracingRemedy)
            }
            return Finding(
                id, title, found: "works", for: .apply,
                meaning: "processes of the same user can be stopped")
        }
    }

    /// How to be let trace.
    var tracingRemedy: String {
        if denyPtrace.text?.hasPrefix("1") ?? false { return "sudo setsebool deny_ptrace off" }
        if let scope = ptraceScope.number, scope == 1 || scope == 2 {
            return "sudo hotpatch …, or sudo sysctl kernel.yama.ptrace_scope=0"
        }
        return remedy(for: .tracing)
    }

    /// The first of these steps that was not done, in words.
    func firstFailure<Step>(
        of trial: Trial<Step>, in steps: [Step]
    ) -> (step: Step, text: String)? {
        for step in steps {
            switch trial[step] {
            case .done: continue
            case .failed(let error): return (step, "\(error)")
            case .blocked: return (step, "does not return")
            case .notReached: return (step, "not reached")
            }
        }
        return nil
    }
}
