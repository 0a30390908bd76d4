import SystemPackage

@testable import Diagnosis

extension MachineFacts {
    /// A machine on which everything works, and root on it.
    static let sound = MachineFacts(
        kernel: KernelVersion(release: "6.12.1-amd64"), commandLine: .text("quiet"),
        memoryWriteConfig: nil,
        userID: 0, capabilities: CapabilitySet(bits: .max), seccompMode: 0,
        userNamespace: .initial, pidNamespace: .initial, mountNamespace: .initial,
        ptraceScope: .text("1"), denyPtrace: .absent,
        securityModules: .text("capability,yama,apparmor"), lockdown: .text("[none] integrity"),
        memfdPolicy: .text("0"), randomization: .text("2"), priorityLimit: 0,
        realTimeShare: .text("950000"), groupRealTimeShare: .absent,
        directories: [
            DirectoryFacts(
                kind: .state, path: "/var/lib/hotpatch",
                condition: .present(owner: 0, mode: 0o755)),
            DirectoryFacts(kind: .config, path: "/etc/hotpatch", condition: .absent),
        ],
        isDisabledByFile: false,
        service: .running(pid: 321, mode: "exec-permission", window: "none"),
        compiler: "/usr/bin/cc",
        memory: .success(.allDone), trace: .success(.allDone), payload: .success(.allDone),
        priority: .success(.allDone), execHold: .success(.allDone),
        interpreterHold: .success(.allDone))

    /// The same for a user without rights, where the kernel is strict.
    static var unprivileged: MachineFacts {
        var facts = sound
        facts.userID = 1000
        facts.capabilities = CapabilitySet(bits: 0)
        facts.memory = .success(Trial([.failed(.notPermitted)]))
        facts.trace = .success(Trial([.failed(.notPermitted)]))
        facts.priority = .success(Trial([.failed(.notPermitted)]))
        facts.execHold = .success(Trial([.failed(.notPermitted)]))
        facts.interpreterHold = facts.execHold
        return facts
    }

    func finding(_ id: String) -> Finding? {
        Diagnosis.judge(self).first { $0.id == id }
    }
}

extension Trial {
    static var allDone: Trial { Trial(Step.allCases.map { _ in .done }) }

    /// All done up to one step.
    static func failing(at step: Step, with outcome: TrialOutcome) -> Trial {
        Trial(
            Step.allCases.map {
                $0.rawValue < step.rawValue ? .done : $0 == step ? outcome : .notReached
            })
    }
}
