import PatchFile
import SystemPackage

/// Why the store cannot be used, or is not changed.
public enum StoreError: Error, Equatable, Sendable {
    /// Somebody who must not could change what lies there.
    case untrusted(FilePath, TrustDefect)
    /// The kernel refuses.
    case system(FilePath, action: String, Errno)
    /// Somebody else changes the store and is not done in time.
    case busy(FilePath, holder: LockHolder?, waited: Duration)
    /// The list of what is installed cannot be understood.
    case damagedSeries(FilePath, reason: String)
    /// A rule of the series speaks against it.
    case refused(SeriesRefusal)

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .untrusted: "store.untrusted"
        case .system: "store.system"
        case .busy: "store.busy"
        case .damagedSeries: "store.damaged"
        case .refused(let refusal): refusal.code
        }
    }
}

/// Why a file or folder is not believed: what lies in the store runs with the
/// rights of every program that it names.
public enum TrustDefect: Error, Equatable, Sendable {
    case symbolicLink
    case notADirectory
    case notARegularFile
    case owner(UInt32, trusted: UInt32)
    /// Group or others may write to it; `mode` is the file's.
    case writable(mode: UInt32)
}

/// Who holds the lock of the store.
public struct LockHolder: Equatable, Sendable, CustomStringConvertible {
    public let pid: Int32
    /// Its command line.
    public let command: String

    public var description: String { "process \(pid) ('\(command)')" }
}

extension StoreError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .untrusted(let path, let defect):
            return "the store is not used: \(defect.sentence(about: path))"
        case .system(let path, let action, let errno):
            let advice =
                [.permissionDenied, .notPermitted].contains(errno)
                ? "; run this as root, or name a state directory of your own (--state-dir)" : ""
            return "cannot \(action) '\(path)': \(errno)\(advice)"
        case .busy(let path, let holder, let waited):
            let who = holder.map(\.description) ?? "another hotpatch"
            return "gave up after \(waited.components.seconds) s, nothing was changed: \(who) is "
                + "changing the store (it holds '\(path)'); run this again when it is done"
        case .damagedSeries(let path, let reason):
            return "cannot read the list of installed patches '\(path)': \(reason); put it back "
                + "from a backup, or move it away ('mv \(path.quoted) "
                + "\(FilePath(path.string + ".damaged").quoted)') and install the patches again"
        case .refused(let refusal):
            return refusal.description
        }
    }
}

extension TrustDefect {
    /// What is wrong with `path`, and the command that mends it.
    func sentence(about path: FilePath) -> String {
        switch self {
        case .symbolicLink:
            "'\(path)' is a symbolic link; name the place that it leads to (--state-dir)"
        case .notADirectory:
            "'\(path)' is no directory; remove it, or name another place (--state-dir)"
        case .notARegularFile:
            "'\(path)' is no regular file; remove it: rm \(path.quoted)"
        case .owner(let owner, let trusted):
            "'\(path)' belongs to user \(owner), who could change what is installed; "
                + "mend it with: chown \(trusted) \(path.quoted)"
        case .writable(let mode):
            "others than its owner may write to '\(path)' (mode \(String(mode, radix: 8))) and "
                + "so change what is installed; mend it with: chmod go-w \(path.quoted)"
        }
    }
}

extension FilePath {
    /// As a shell takes it for one word.
    var quoted: String {
        let plain = string.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "/._+-".utf8.contains(byte)
            }
        }
        if plain { return string }
        return "'"
            + string.split(separator: "'", omittingEmptySubsequences: false)
            .joined(separator: #"'\''"#) + "'"
    }
}
