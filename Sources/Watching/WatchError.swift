import PatchStore
import SystemPackage

/// Why the service cannot start, or ends.
public enum WatchError: Error, Sendable {
    /// The kernel refuses something that the service needs.
    case system(action: String, Errno)
    case store(StoreError)
    /// The kernel's questions cannot be read any more.
    case unreadable(Errno)
    /// Another service does not end.
    case occupied(process: Int32?)
    /// The guardian is gone or silent.
    case guardianLost
    /// A program was held for longer than it may be, and was let go with all others.
    case heldTooLong(thread: Int32)

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .system: "watch.system"
        case .store(let error): error.code
        case .unreadable: "watch.unreadable"
        case .occupied: "watch.occupied"
        case .guardianLost: "watch.guardian-lost"
        case .heldTooLong: "watch.held-too-long"
        }
    }
}

extension WatchError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .system(let action, let errno):
            let isAboutRights = errno == .notPermitted || errno == .permissionDenied
            let advice = isAboutRights ? "; run this as root" : ""
            return "cannot \(action): \(errno)\(advice)"
        case .store(let error): return error.description
        case .unreadable(let errno):
            return "cannot read whether programs may start: \(errno); every start goes on "
                + "unpatched; start this again"
        case .occupied(let process):
            let who = process.map { "process \($0)" } ?? "another process"
            return "\(who) serves already, and does not end; end it, and start this again"
        case .guardianLost:
            return "the guardian process is gone or does not answer, and without it a watcher "
                + "that hangs would keep programs from starting; start this again"
        case .heldTooLong(let thread):
            return "thread \(thread) was held for too long while it was patched; everything was "
                + "let go; start this again"
        }
    }
}
