import Glibc
import SystemPackage

/// Where the tool keeps its files on a machine. Each folder can be moved, so that
/// tests and users without root have a place of their own.
public struct Locations: Equatable, Sendable {
    /// Installed patches, the order they are in, and the audit log.
    public var state: FilePath
    /// What administrators set.
    public var config: FilePath
    /// What lasts until the next boot.
    public var run: FilePath
    /// The socket on which the journal takes records (systemd's native protocol).
    public var journal: FilePath

    /// Where they are unless somebody moved them (hier(7)).
    public static let standard = Locations(
        state: "/var/lib/hotpatch", config: "/etc/hotpatch", run: "/run/hotpatch",
        journal: "/run/systemd/journal/socket")

    public init(state: FilePath, config: FilePath, run: FilePath, journal: FilePath) {
        self.state = state
        self.config = config
        self.run = run
        self.journal = journal
    }

    /// The standard ones, moved by HOTPATCH_STATE_DIR, HOTPATCH_CONFIG_DIR,
    /// HOTPATCH_RUN_DIR and HOTPATCH_JOURNAL_SOCKET where these are set. A relative
    /// path begins at the working directory.
    ///
    /// - Parameter variable: the value of an environment variable.
    public init(environment variable: (String) -> String? = Self.variable) {
        func place(_ name: String, _ standard: FilePath) -> FilePath {
            guard let value = variable(name), !value.isEmpty else { return standard }
            return Self.absolute(FilePath(value))
        }
        let standard = Self.standard
        self.init(
            state: place("HOTPATCH_STATE_DIR", standard.state),
            config: place("HOTPATCH_CONFIG_DIR", standard.config),
            run: place("HOTPATCH_RUN_DIR", standard.run),
            journal: place("HOTPATCH_JOURNAL_SOCKET", standard.journal))
    }

    /// The path from the root on, without `.` and `..`.
    public static func absolute(_ path: FilePath) -> FilePath {
        var result = path
        if !path.isAbsolute, let here = unsafe getcwd(nil, 0) {
            defer { unsafe free(here) }
            result = FilePath(unsafe String(cString: here)).pushing(path)
        }
        result.lexicallyNormalize()
        return result
    }

    /// A variable of this process's environment.
    public static func variable(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }
}

// MARK: What lies in the state directory

extension Locations {
    /// The patch files.
    var patches: FilePath { state.appending("patches") }
    /// Which of them are installed, and in which order: the one truth. It is replaced
    /// as a whole, so a watcher of the directory sees a new file move in.
    public var series: FilePath { state.appending("series.json") }
    /// Held (flock(2)) by whoever changes anything.
    var lock: FilePath { state.appending("lock") }
    /// One record a line; it grows only.
    public var audit: FilePath { state.appending("audit.jsonl") }

    /// Whose files are believed: root's, and where somebody else moved the state
    /// directory, that user's own.
    var trustedOwners: Set<UInt32> {
        let caller = geteuid()
        return state == Self.standard.state ? [0] : [0, caller]
    }
}
