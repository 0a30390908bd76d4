/// Who the caller is, and what it may do.
extension MachineFacts {
    var isRoot: Bool { userID == 0 }

    /// How to get a capability that is missing.
    func remedy(for capability: Capability) -> String {
        guard isRoot else { return "sudo hotpatch …" }
        // Root without it: something has taken it away.
        return userNamespace == .initial
            ? "outside of a container: docker run --cap-add=\(shortName(capability)) …; in a unit: "
                + "CapabilityBoundingSet=\(capability.name)"
            : "outside of this container: hotpatch …"
    }

    private func shortName(_ capability: Capability) -> String {
        String(capability.name.dropFirst("CAP_".count))
    }

    var rightsFindings: [Finding] {
        Capability.allCases.map(capabilityFinding)
            + [
                namespaceFinding(
                    "user", userNamespace, purpose: .service,
                    meaning: "rights end at this namespace: processes outside of it cannot be "
                        + "patched, and programs not be held at their start"),
                namespaceFinding(
                    "pid", pidNamespace, purpose: .service,
                    meaning: "processes outside of this namespace are not seen; the service must "
                        + "run in the first one"),
                namespaceFinding(
                    "mount", mountNamespace, purpose: .service,
                    meaning: "programs and libraries that are not seen here cannot be held at "
                        + "their start"),
                filterFinding,
            ]
    }

    private func capabilityFinding(_ capability: Capability) -> Finding {
        let id = "capability." + shortName(capability).lowercased()
        let title = capability.name
        if capabilities.contains(capability) {
            return Finding(
                id, title, found: "held", for: capability.purpose, meaning: capability.use)
        }
        // CAP_SYS_ADMIN opens the same files.
        if capability == .checkpointRestore, capabilities.contains(.administration) {
            return Finding(
                id, title, found: "CAP_SYS_ADMIN held", for: capability.purpose,
                meaning: capability.use)
        }
        return Finding(
            id, title, found: "not held", .limits, for: capability.purpose,
            meaning: capability.lack, remedy: remedy(for: capability))
    }

    private func namespaceFinding(
        _ name: String, _ kind: NamespaceKind, purpose: Finding.Purpose, meaning: String
    ) -> Finding {
        let id = "namespace.\(name)"
        let title = "\(name) namespace"
        switch kind {
        case .initial:
            return Finding(
                id, title, found: "the machine's first", for: purpose,
                meaning: "the whole machine is seen")
        case .unknown:
            return Finding(
                id, title, found: "not known", for: .information,
                meaning: "it may not be compared with that of the first process",
                remedy: isRoot ? nil : "sudo hotpatch doctor")
        case .other:
            return Finding(
                id, title, found: "another one", .limits, for: purpose, meaning: meaning,
                remedy: "on the machine itself, outside of the container: hotpatch …")
        }
    }

    private var filterFinding: Finding {
        let id = "caller.seccomp"
        let title = "seccomp filter on the tool"
        guard seccompMode != 0 else {
            return Finding(
                id, title, found: "none", for: .information, meaning: "no call is kept from it")
        }
        return Finding(
            id, title, found: "mode \(seccompMode)", for: .information,
            meaning: "it may forbid calls that the tool makes, as the trials below show; and what "
                + "the filters of other processes permit cannot be read, so these are refused",
            remedy: "outside of a container: docker run --security-opt seccomp=unconfined …")
    }
}
