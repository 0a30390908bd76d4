import Glibc
import JSONText
import SystemPackage

extension AuditEvent {
    /// The version of a record's form.
    static let schema: Int64 = 1
    /// A command line is cut here, and a message there, so that a record stays a short
    /// write.
    static let commandLimit = 2048
    static let messageLimit = 4096

    /// The record, without members that have no value.
    public var json: JSONValue {
        let all: [(String, JSONValue?)] =
            [
                ("schema", .integer(Self.schema)),
                ("time", .string(at.description)),
                ("action", .string(action.rawValue)),
                ("result", .string(result)),
                ("code", code.map(JSONValue.string)),
                ("message", message.map { .string($0.cut(at: Self.messageLimit)) }),
                ("patch", patch.map(JSONValue.string)),
                ("digest", digest.map(JSONValue.string)),
                ("base", base.map(JSONValue.string)),
                ("stallMicroseconds", stallMicroseconds.map(JSONValue.integer)),
                ("process", process?.json),
                ("actor", actor.json),
            ]
        return .object(all.compactMap { name, value in value.map { JSONMember(name, $0) } })
    }

    /// Reads a record, which anybody may have written: whatever it lacks or has
    /// beyond that comes back as an error.
    init(_ json: JSONValue) throws(JSONError) {
        let top = JSONCursor(json)
        let schema = try top.member("schema")
        guard try schema.integer() == Self.schema else {
            throw schema.mismatch("\(Self.schema), the one that this program knows")
        }
        let time = try top.member("time")
        guard let at = Moment(try time.string()) else { throw time.mismatch("a moment") }
        let word = try top.member("action")
        guard let action = Action(rawValue: try word.string()) else {
            throw word.mismatch("one of " + Action.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self.init(
            action, result: try top.member("result").string(), at: at,
            by: try Actor(try top.member("actor")))
        code = try top.optionalMember("code")?.string()
        message = try top.optionalMember("message")?.string()
        patch = try top.optionalMember("patch")?.string()
        digest = try top.optionalMember("digest")?.string()
        base = try top.optionalMember("base")?.string()
        stallMicroseconds = try top.optionalMember("stallMicroseconds")?.integer()
        if let process = try top.optionalMember("process") {
            self.process = try Process(process)
        }
    }

    /// One line for people.
    public var sentence: String {
        let target = process.map { " in process \($0.pid) (\($0.executable))" } ?? ""
        let what = patch.map { " '\($0)'" } ?? ""
        let why = code.map { " [\($0)]" } ?? ""
        return "\(action.rawValue)\(what)\(target): \(result)\(why)"
            + (message.map { ": \($0)" } ?? "")
    }

    /// The fields of a record in the journal (systemd.journal-fields(7)).
    var facts: [(name: String, value: String)] {
        let all: [(String, String?)] = [
            ("ACTION", action.rawValue), ("RESULT", result), ("CODE", code), ("PATCH", patch),
            ("DIGEST", digest), ("BASE", base),
            ("STALL_USEC", stallMicroseconds.map(String.init)),
            ("TARGET_PID", process.map { String($0.pid) }),
            ("TARGET_EXE", process?.executable),
            ("LOGIN_UID", actor.loginUserID.map(String.init)), ("SUDO_USER", actor.sudoUser),
        ]
        return all.compactMap { name, value in value.map { (name, $0) } }
    }
}

extension AuditEvent.Process {
    fileprivate var json: JSONValue {
        [
            "pid": .integer(Int64(pid)), "startTime": .integer(Int64(clamping: startTime)),
            "executable": .string(executable),
        ]
    }

    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        let start = try cursor.member("startTime")
        guard let startTime = UInt64(exactly: try start.integer()) else {
            throw start.mismatch("a number of clock ticks")
        }
        self.init(
            pid: try cursor.member("pid").processID(), startTime: startTime,
            executable: try cursor.member("executable").string())
    }
}

extension AuditEvent.Actor {
    /// This process.
    public static var current: Self {
        let words = (try? contents("/proc/self/cmdline")) ?? []
        let command = words.prefix(AuditEvent.commandLimit)
            .split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        let login = (try? contents("/proc/self/loginuid")).flatMap {
            UInt32(String(decoding: $0, as: UTF8.self))
        }
        return Self(
            userID: getuid(), loginUserID: login == .max ? nil : login,
            sudoUser: Locations.variable("SUDO_USER"), pid: getpid(),
            command: command.joined(separator: " "))
    }

    private static func contents(_ path: FilePath) throws(Errno) -> [UInt8] {
        let file = try OpenFile(path, O_RDONLY)
        return unsafe [UInt8](unsafeUninitializedCapacity: AuditEvent.commandLimit) {
            buffer, count in
            count = max(0, unsafe read(file.rawValue, buffer.baseAddress, buffer.count))
        }
    }

    fileprivate var json: JSONValue {
        let all: [(String, JSONValue?)] = [
            ("userId", .integer(Int64(userID))),
            ("loginUserId", loginUserID.map { .integer(Int64($0)) }),
            ("sudoUser", sudoUser.map(JSONValue.string)),
            ("pid", .integer(Int64(pid))),
            ("command", .string(command)),
        ]
        return .object(all.compactMap { name, value in value.map { JSONMember(name, $0) } })
    }

    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        self.init(
            userID: try cursor.member("userId").userID(),
            loginUserID: try cursor.optionalMember("loginUserId")?.userID(),
            sudoUser: try cursor.optionalMember("sudoUser")?.string(),
            pid: try cursor.member("pid").processID(),
            command: try cursor.member("command").string())
    }
}

extension String {
    /// Its first characters, where it is longer.
    fileprivate func cut(at limit: Int) -> String {
        utf8.count <= limit ? self : String(prefix(limit - 1)) + "…"
    }
}

extension JSONCursor {
    fileprivate func userID() throws(JSONError) -> UInt32 {
        guard let id = UInt32(exactly: try integer()) else { throw mismatch("a user's number") }
        return id
    }

    fileprivate func processID() throws(JSONError) -> Int32 {
        guard let id = Int32(exactly: try integer()), id > 0 else {
            throw mismatch("a process's number")
        }
        return id
    }
}
