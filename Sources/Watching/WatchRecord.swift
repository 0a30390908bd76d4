import Glibc
import JSONText
import LiveProcess
import PatchStore
import SystemPackage

/// What the service does at this moment, as it tells others in `RUN/watch.json`.
public struct WatchRecord: Equatable, Sendable {
    /// The version of the file's form that this program writes and reads.
    public static let schemaVersion: Int64 = 1
    public static let fileName = "watch.json"
    /// Bytes; what is larger was not written by this program.
    static let sizeLimit = 64 << 20

    /// A file on disk whose start or loading is noticed.
    public struct Mark: Hashable, Sendable {
        public let path: String
        /// The base's identity, as patches name it.
        public let buildID: String
    }

    /// What is installed, as far as the service knows.
    public struct Store: Hashable, Sendable {
        /// The state directory.
        public let path: String
        /// ``StoreContents/revision``: whatever starts from here on gets what was installed
        /// then.
        public let revision: Int64
    }

    /// A process that should have a patch and has not.
    public struct Refusal: Equatable, Sendable {
        public let process: Int32
        /// Clock ticks after boot; with the number, the process's identity.
        public let startTime: UInt64
        public let patch: String
        /// Stable, as the commands print it.
        public let code: String
        public let message: String
        /// Seconds since 1970, of the last try.
        public let at: Int64
    }

    /// A process that ran unpatched for a while, since it started or loaded the library
    /// without being held, and was patched then.
    public struct CaughtUp: Equatable, Sendable {
        public let process: Int32
        /// Clock ticks after boot.
        public let startTime: UInt64
        public let patch: String
        /// Seconds since 1970.
        public let at: Int64
    }

    public var process: Int32
    /// Of the service's own process, in clock ticks after boot.
    public var startTime: UInt64
    /// Seconds since 1970.
    public var since: Int64
    public var mode: WatchMode
    /// What may run unpatched; ``WatchMode/window``, or why the service is off.
    public var window: String
    public var store = Store(path: "", revision: 0)
    public var marks: [Mark] = []
    public var refusals: [Refusal] = []
    /// Those that still run.
    public var caughtUp: [CaughtUp] = []

    public init(
        process: Int32, startTime: UInt64, since: Int64, mode: WatchMode, window: String? = nil
    ) {
        self.process = process
        self.startTime = startTime
        self.since = since
        self.mode = mode
        self.window = window ?? mode.window
    }
}

extension WatchRecord {
    var json: JSONValue {
        [
            "schemaVersion": .integer(Self.schemaVersion),
            "pid": .integer(Int64(process)),
            "startTime": .integer(Int64(clamping: startTime)),
            "since": .integer(since),
            "mode": .string(mode.rawValue),
            "window": .string(window),
            "store": ["path": .string(store.path), "revision": .integer(store.revision)],
            "marks": .array(
                marks.map { ["path": .string($0.path), "buildID": .string($0.buildID)] }),
            "refusals": .array(refusals.map(\.json)),
            "caughtUp": .array(caughtUp.map(\.json)),
        ]
    }

    init(json: JSONValue) throws(JSONError) {
        let cursor = JSONCursor(json)
        let version = try cursor.member("schemaVersion")
        guard try version.integer() == Self.schemaVersion else {
            throw version.mismatch("version \(Self.schemaVersion)")
        }
        let word = try cursor.member("mode")
        guard let mode = WatchMode(rawValue: try word.string()) else {
            throw word.mismatch("a mode of the service")
        }
        self.mode = mode
        process = Int32(clamping: try cursor.member("pid").integer())
        startTime = UInt64(clamping: try cursor.member("startTime").integer())
        since = try cursor.member("since").integer()
        window = try cursor.member("window").string()
        let store = try cursor.member("store")
        self.store = Store(
            path: try store.member("path").string(),
            revision: try store.member("revision").integer())
        marks = try cursor.member("marks").elements().map { mark throws(JSONError) in
            Mark(
                path: try mark.member("path").string(),
                buildID: try mark.member("buildID").string())
        }
        refusals = try cursor.member("refusals").elements().map { refusal throws(JSONError) in
            try Refusal(refusal)
        }
        caughtUp = try cursor.member("caughtUp").elements().map { one throws(JSONError) in
            try CaughtUp(one)
        }
    }

    /// What the service last told, whether it still runs or not; nil where it has told
    /// nothing, or nothing that can be read.
    public static func read(in run: FilePath) -> WatchRecord? {
        guard let text = try? Descriptor.open(run.appending(fileName).string).readToEnd(),
            let json = try? JSONValue(parsing: text, limit: sizeLimit)
        else { return nil }
        return try? WatchRecord(json: json)
    }

    /// Whether the service that wrote this still runs.
    public var isCurrent: Bool {
        guard let process = try? TargetProcess.find(ProcessID(rawValue: process)) else {
            return false
        }
        return process.startTime == startTime
    }

    /// Replaces the file as a whole. Throws what the system answers.
    func write(in run: FilePath) throws(Errno) {
        let path = run.appending(Self.fileName).string
        let draft = path + ".\(process)"
        do throws(Errno) {
            let file = try OpenFile(
                FilePath(draft), O_WRONLY | O_CREAT | O_TRUNC, permissions: 0o644)
            try file.write(Array((json.text() + "\n").utf8))
            guard unsafe rename(draft, path) == 0 else { throw Errno(rawValue: errno) }
        } catch {
            _ = unsafe unlink(draft)
            throw error
        }
    }
}

extension WatchRecord.Refusal {
    fileprivate var json: JSONValue {
        [
            "pid": .integer(Int64(process)), "startTime": .integer(Int64(clamping: startTime)),
            "patch": .string(patch), "code": .string(code), "message": .string(message),
            "at": .integer(at),
        ]
    }

    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        process = Int32(clamping: try cursor.member("pid").integer())
        startTime = UInt64(clamping: try cursor.member("startTime").integer())
        patch = try cursor.member("patch").string()
        code = try cursor.member("code").string()
        message = try cursor.member("message").string()
        at = try cursor.member("at").integer()
    }
}

extension WatchRecord.CaughtUp {
    fileprivate var json: JSONValue {
        [
            "pid": .integer(Int64(process)), "startTime": .integer(Int64(clamping: startTime)),
            "patch": .string(patch), "at": .integer(at),
        ]
    }

    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        process = Int32(clamping: try cursor.member("pid").integer())
        startTime = UInt64(clamping: try cursor.member("startTime").integer())
        patch = try cursor.member("patch").string()
        at = try cursor.member("at").integer()
    }
}
