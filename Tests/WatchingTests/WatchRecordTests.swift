import Glibc
import JSONText
import LiveProcess
import SystemPackage
import TestSupport
import Testing

@testable import Watching

/// What the service tells of itself comes back as it was told, and nothing else does.
struct WatchRecordTests {
    private func record(process: Int32 = 7) -> WatchRecord {
        var record = WatchRecord(
            process: process, startTime: 12345, since: 1_764_000_000, mode: .execPermission)
        record.store = WatchRecord.Store(path: "/var/lib/hotpatch", revision: 3)
        record.marks = [WatchRecord.Mark(path: "/usr/sbin/a \"daemon\"", buildID: "00ff")]
        record.refusals = [
            WatchRecord.Refusal(
                process: 8, startTime: 9, patch: "fix", code: "process.already-traced",
                message: "process 8 is traced", at: 1_764_000_001)
        ]
        record.caughtUp = [
            WatchRecord.CaughtUp(process: 10, startTime: 11, patch: "fix", at: 1_764_000_002)
        ]
        return record
    }

    @Test func itComesBack() throws {
        let directory = try TemporaryDirectory()
        #expect(WatchRecord.read(in: directory.path) == nil)
        var record = record()
        try record.write(in: directory.path)
        #expect(WatchRecord.read(in: directory.path) == record)
        record.marks = []
        try record.write(in: directory.path)
        #expect(WatchRecord.read(in: directory.path) == record)
        // Nothing is left over that was written aside.
        #expect(try Self.names(in: directory.path) == [WatchRecord.fileName])
    }

    @Test func itIsCurrentWhileItsProcessRuns() throws {
        let own = try TargetProcess.find(ProcessID(rawValue: getpid()))
        var record = record(process: getpid())
        record.startTime = own.startTime
        #expect(record.isCurrent)
        // The number belongs to another process by now.
        record.startTime += 1
        #expect(!record.isCurrent)
    }

    @Test(arguments: [
        "", "{", "[]", "{\"schemaVersion\": 1}", "{\"schemaVersion\": 2}",
        "{\"schemaVersion\": 1, \"pid\": \"7\"}",
    ])
    func whatIsNoRecord(_ text: String) throws {
        let directory = try TemporaryDirectory()
        try directory.path.appending(WatchRecord.fileName).write(Array(text.utf8))
        #expect(WatchRecord.read(in: directory.path) == nil)
    }

    /// Each member is needed, and has to be of its kind.
    @Test func whatIsIncomplete() throws {
        guard case .object(let members) = record().json else {
            Issue.record("the record is no object")
            return
        }
        for index in members.indices {
            var missing = members
            let key = missing.remove(at: index).key
            #expect(throws: JSONError.self, "without \(key)") {
                try WatchRecord(json: .object(missing))
            }
            var other = members
            other[index] = JSONMember(key, .bool(true))
            #expect(throws: JSONError.self, "\(key) is true") {
                try WatchRecord(json: .object(other))
            }
        }
    }

    private static func names(in directory: FilePath) throws -> [String] {
        let result = try Command.run("ls", ["-A", directory.string])
        return result.output.split(separator: "\n").map(String.init)
    }
}
