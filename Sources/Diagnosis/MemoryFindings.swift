/// Writing to other processes' memory, and giving them executable memory.
extension MachineFacts {
    var memoryFindings: [Finding] {
        [readFinding, compareFinding, writeFinding, payloadFinding, policyFinding]
    }

    private var readFinding: Finding {
        memoryFinding(
            "memory.read", "reading another process, tried", .read, otherwise: .missing,
            works: "what is patched can be compared with the file",
            fails: "what stands in a process cannot be seen, and so nothing be patched")
    }

    private var compareFinding: Finding {
        memoryFinding(
            "memory.compare", "comparing memory (kcmp), tried", .compare, otherwise: .limits,
            works: "processes that run in another's memory are noticed",
            fails: "a vfork child that runs in the memory of a process is not noticed while that "
                + "is patched; avoid programs that use vfork")
    }

    private func memoryFinding(
        _ id: String, _ title: String, _ step: MemoryStep, otherwise verdict: Finding.Verdict,
        works: String, fails: String
    ) -> Finding {
        switch memory {
        case .failure(let error):
            return Finding(
                id, title, found: "not tried: \(error)", .limits, for: .apply,
                meaning: "no process could be started for the trial")
        case .success(let trial):
            guard let failure = firstFailure(of: trial, in: [step]) else {
                return Finding(id, title, found: "works", for: .apply, meaning: works)
            }
            return Finding(
                id, title, found: failure.text, verdict, for: .apply, meaning: fails,
                remedy: tracingRemedy)
        }
    }

    // MARK: Writing

    /// Which of the ways of writing to read-only text work, best first.
    private var writeFinding: Finding {
        let id = "memory.write"
        let title = "writing another's text, tried"
        if case .success(let trial) = memory, trial[.write] == .done {
            return Finding(
                id, title, found: "through /proc/PID/mem", for: .apply,
                meaning: "detours are written in one call each")
        }
        guard case .success(let trial) = trace else {
            return Finding(
                id, title, found: "not tried", .limits, for: .apply,
                meaning: "no process could be started for the trial")
        }
        guard trial[.stop] == .done else {
            return Finding(
                id, title, found: "not tried", .limits, for: .apply,
                meaning: "a process must be traced before its text can be written",
                remedy: tracingRemedy)
        }
        let cause = "\(forceCause); nothing is changed where a patch is refused for it"
        if trial[.write] == .done {
            return Finding(
                id, title, found: "through /proc/PID/mem, as tracer only", .limits, for: .apply,
                meaning: "what is written while nothing is traced may be refused: \(cause)",
                remedy: forceRemedy)
        }
        return Finding(
            id, title,
            found: trial[.poke] == .done ? "by PTRACE_POKETEXT only" : "not possible", .missing,
            for: .apply, meaning: "the calls that map a payload cannot be made: \(cause)",
            remedy: forceRemedy)
    }

    private var forceCause: String {
        if let forceWord { return "the kernel's command line says \(forceWord)" }
        if let memoryWriteConfig { return "the kernel was built with \(memoryWriteConfig)" }
        return "a security module or the kernel's configuration forbids it"
    }

    private var forceRemedy: String { "boot with proc_mem.force_override=always" }

    /// `proc_mem.force_override=…` (Linux 6.12).
    private var forceWord: String? {
        commandLine.text?.split(separator: " ")
            .last { $0.hasPrefix("proc_mem.force_override=") }.map(String.init)
    }

    // MARK: Payloads

    private var payloadFinding: Finding {
        let id = "memory.payload"
        let title = "executable memory, tried"
        guard case .success(let trial) = payload else {
            return Finding(
                id, title, found: "not tried", .limits, for: .apply,
                meaning: "no process could be started for the trial")
        }
        guard let failure = firstFailure(of: trial, in: [.memfd, .map]) else {
            return Finding(
                id, title, found: "from a file in memory", for: .apply,
                meaning: "payloads are mapped with a name, which /proc/PID/maps shows")
        }
        guard trial[.anonymous] != .done else {
            return Finding(
                id, title, found: "without a file only (\(failure.step): \(failure.text))", .limits,
                for: .apply,
                meaning: "payloads are mapped without a name; one whose apply is killed half way "
                    + "stays", remedy: "sudo sysctl vm.memfd_noexec=1")
        }
        return Finding(
            id, title, found: "\(failure.step): \(failure.text)", .missing, for: .apply,
            meaning: "no code can be mapped into a process with the rights of this one")
    }

    private var policyFinding: Finding {
        let id = "memory.memfd-policy"
        let title = "vm.memfd_noexec"
        switch memfdPolicy.number {
        case 2:
            return Finding(
                id, title, found: "2", .limits, for: .apply,
                meaning: "files in memory cannot be executable; payloads are mapped without a name",
                remedy: "sudo sysctl vm.memfd_noexec=1")
        case let level?:
            return Finding(
                id, title, found: "\(level)", for: .apply,
                meaning: "files in memory can be executable where the tool asks for it")
        case nil:
            return Finding(
                id, title, found: "not in this kernel", for: .apply,
                meaning: "files in memory can be executable")
        }
    }
}
