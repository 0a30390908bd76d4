/// How starts are noticed, best first.
public enum WatchMode: String, Sendable, CaseIterable {
    /// The kernel asks before a program runs, and the program is held until it is
    /// patched.
    case execPermission = "exec-permission"
    /// The kernel asks, but holds the lock of the exec by then: the program is caught
    /// on its way out of the exec.
    case lateExecPermission = "exec-permission-late"
    /// The kernel is asked what runs, again and again.
    case polling
    /// Somebody has switched the service off.
    case disabled

    /// What may still run unpatched, for people.
    public var window: String {
        switch self {
        case .execPermission:
            "nothing, since a program is patched before its first instruction"
        case .lateExecPermission:
            "a program that is faster than the watcher runs its first instructions unpatched, "
                + "some hundred microseconds"
        case .polling:
            "a new program runs unpatched for \(Int(Self.pollingInterval)) ms and the time that "
                + "patching it takes, a library that is loaded later for up to "
                + "\(Self.pollingLibraries) s"
        case .disabled: "everything that starts runs unpatched"
        }
    }

    /// Milliseconds between two looks at what runs.
    static let pollingInterval: Int64 = 100
    /// Seconds between two looks at what the running programs have loaded.
    static let pollingLibraries: Int64 = 10

    var asksKernel: Bool { self == .execPermission || self == .lateExecPermission }
}
