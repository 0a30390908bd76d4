import PatchStore

/// What this machine allows the tool to do, found by reading the kernel's settings
/// and by really trying things on processes and files made for it. No other process
/// is touched, and nothing is changed.
public enum Diagnosis {
    /// Looks at everything. Takes some tens of milliseconds, and up to two seconds
    /// for each trial that the kernel lets hang.
    public static func examine(_ places: Locations) -> [Finding] {
        judge(.read(places))
    }

    static func judge(_ facts: MachineFacts) -> [Finding] {
        facts.kernelFindings + facts.rightsFindings + facts.tracingFindings
            + facts.memoryFindings + facts.priorityFindings + facts.holdFindings
            + facts.serviceFindings
    }
}
