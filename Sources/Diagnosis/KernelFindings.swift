/// The kernel and the security modules in it.
extension MachineFacts {
    var kernelFindings: [Finding] {
        [kernelVersion, securityModuleNames, lockdownMode, randomizedAddresses]
    }

    private var kernelVersion: Finding {
        let found = "Linux \(kernel.release)"
        if kernel.isOlder(than: 3, 17) {
            return Finding(
                "kernel.version", "kernel", found: found, .missing, for: .apply,
                meaning: "patches need Linux 3.17 (memfd_create, PTRACE_SEIZE)",
                remedy: "boot a newer kernel")
        }
        if kernel.isOlder(than: 5, 0) {
            return Finding(
                "kernel.version", "kernel", found: found, .limits, for: .service,
                meaning: "programs can be held at their start from Linux 5.0 on; here they run "
                    + "unpatched for a moment", remedy: "boot a newer kernel")
        }
        return Finding(
            "kernel.version", "kernel", found: found, for: .apply,
            meaning: "it has all calls that the tool makes")
    }

    private var securityModuleNames: Finding {
        let id = "kernel.security-modules"
        let title = "security modules"
        switch securityModules {
        case .text(let names):
            return Finding(
                id, title, found: names, for: .information,
                meaning: "any of them may forbid tracing or executable memory; the trials below "
                    + "show whether they do")
        case .absent:
            return Finding(
                id, title, found: "none shown", for: .information,
                meaning: "securityfs is not mounted or not in this kernel")
        case .unreadable(let error):
            return Finding(
                id, title, found: "\(error)", for: .information,
                meaning: "their list may not be read here")
        }
    }

    /// Lockdown keeps the kernel's memory from root, not that of processes.
    private var lockdownMode: Finding {
        let text = lockdown.text ?? ""
        let chosen = text.split(separator: " ").first { $0.hasPrefix("[") }?.dropFirst().dropLast()
        return Finding(
            "kernel.lockdown", "kernel lockdown", found: chosen.map(String.init) ?? "not in force",
            for: .information, meaning: "of no importance for patches of programs")
    }

    private var randomizedAddresses: Finding {
        let levels = ["off", "stacks and mappings", "stacks, mappings and heap"]
        let level = randomization.number ?? -1
        return Finding(
            "kernel.randomize-va-space", "address randomization",
            found: levels.indices.contains(level) ? levels[level] : "not known",
            for: .information, meaning: "of no importance for patches, which fit any address")
    }
}
