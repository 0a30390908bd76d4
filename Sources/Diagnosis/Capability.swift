/// A capability that the tool has a use for (capabilities(7)).
enum Capability: Int, CaseIterable, Sendable {
    case writeAnyFile = 1
    case readAnyFile = 2
    case tracing = 19
    case administration = 21
    case priority = 23
    case resources = 24
    case checkpointRestore = 40

    var name: String {
        switch self {
        case .writeAnyFile: "CAP_DAC_OVERRIDE"
        case .readAnyFile: "CAP_DAC_READ_SEARCH"
        case .tracing: "CAP_SYS_PTRACE"
        case .administration: "CAP_SYS_ADMIN"
        case .priority: "CAP_SYS_NICE"
        case .resources: "CAP_SYS_RESOURCE"
        case .checkpointRestore: "CAP_CHECKPOINT_RESTORE"
        }
    }

    var purpose: Finding.Purpose { self == .administration ? .service : .apply }

    /// What one can do with it.
    var use: String {
        switch self {
        case .writeAnyFile: "the memory of other users' processes can be opened for writing"
        case .readAnyFile: "programs and libraries are read whoever may read them"
        case .tracing: "processes of all users can be patched, whatever the ptrace scope"
        case .administration:
            "programs can be held at their start until they are patched, and processes be "
                + "patched whose seccomp filter permits it"
        case .priority: "threads stand still as short as possible under load"
        case .resources: "processes of others at their limit of address space can be patched"
        case .checkpointRestore: "programs and libraries whose file was replaced can be read"
        }
    }

    /// What one cannot do without it.
    var lack: String {
        switch self {
        case .writeAnyFile: "only your own processes can be patched, whatever may be traced"
        case .readAnyFile: "programs and libraries that you may not read cannot be patched"
        case .tracing: "only your own processes can be patched, and not those that are setuid"
        case .administration:
            "programs cannot be held at their start, so the service cannot run; processes with a "
                + "seccomp filter cannot be patched"
        case .priority: "under load, threads may stand still for longer while a patch is switched"
        case .resources:
            "processes of other users that are at their limit of address space cannot be patched"
        case .checkpointRestore:
            "a program whose file was replaced while it runs may not be readable any more; "
                + "CAP_SYS_ADMIN does as well"
        }
    }
}

/// The effective capabilities of a process.
struct CapabilitySet: Equatable, Sendable {
    /// A bit for each, by its number.
    let bits: UInt64

    func contains(_ capability: Capability) -> Bool {
        bits & (1 << UInt64(capability.rawValue)) != 0
    }
}
