/// One thing that was looked at on this machine, and what it means for the tool.
public struct Finding: Sendable, Equatable {
    /// How well it serves.
    public enum Verdict: String, Sendable, CaseIterable {
        /// As it should be, or of no importance.
        case ok
        /// Things work, but not all of them or not as well.
        case limits
        /// What `purpose` names does not work.
        case missing
    }

    /// What it is needed for.
    public enum Purpose: String, Sendable, CaseIterable {
        /// Applying and reverting patches.
        case apply
        /// The service that keeps patches applied.
        case service
        /// Making patches.
        case build
        /// Nothing: it explains other findings.
        case information
    }

    /// Stable, for programs: `ptrace.scope`.
    public let id: String
    /// What was looked at, for people.
    public let title: String
    /// What was found there.
    public let found: String
    public let verdict: Verdict
    public let purpose: Purpose
    /// What follows from what was found.
    public let meaning: String
    /// The command that mends it, where one does and something is to be mended.
    public let remedy: String?

    init(
        _ id: String, _ title: String, found: String, _ verdict: Verdict = .ok,
        for purpose: Purpose, meaning: String, remedy: String? = nil
    ) {
        self.id = id
        self.title = title
        self.found = found
        self.verdict = verdict
        self.purpose = purpose
        self.meaning = meaning
        self.remedy = remedy
    }
}

extension [Finding] {
    /// Whether patches can be applied here: nothing that this needs is missing.
    public var allowApplying: Bool { allow(.apply) }

    /// Whether nothing that `purpose` needs is missing.
    public func allow(_ purpose: Finding.Purpose) -> Bool {
        !contains { $0.purpose == purpose && $0.verdict == .missing }
    }
}
