import Glibc
import JSONText
import SystemPackage
import TestSupport
import Threads
import Testing

@testable import PatchStore

@Suite struct AuditLogTests {
    private func event(
        _ patch: String, _ action: AuditEvent.Action = .apply, at microseconds: Int64 = 0
    ) -> AuditEvent {
        var event = AuditEvent(
            action, result: "applied", at: Moment(microsecondsSince1970: microseconds))
        event.patch = patch
        return event
    }

    @Test func recordsAreReadAsTheyWereWritten() throws {
        let sample = try SampleStore()
        let log = AuditLog(sample.locations)
        #expect(try log.read().events.isEmpty)
        var full = event("fix", .reapply, at: 1_795_415_406_123_456)
        full.process = AuditEvent.Process(
            pid: 4711, startTime: .max / 2, executable: "/srv/da\u{1f}\"e\\mon\nü")
        full.base = "dead"
        full.digest = "beef"
        full.stallMicroseconds = 12
        full.code = "switch.busy"
        full.message = "thread 1 is in 'f'\nand stays\t\u{2028}"
        full.actor.loginUserID = 1000
        full.actor.sudoUser = "somebody"
        let all = [full, event("a", .revert), event("b", .uninstall)]
        try log.append(all)
        try log.append(event("c"))
        let records = try log.read()
        #expect(records.events == all + [event("c")])
        #expect(records.skippedCount == 0 && !records.isTorn)
        // A line each, for whoever reads it otherwise.
        let lines = try sample.locations.audit.lines()
        #expect(lines.count == 4)
        var facts = stat()
        #expect(unsafe stat(sample.locations.audit.string, &facts) == 0)
        #expect(facts.st_mode & 0o777 == 0o600)
    }

    @Test func theLatestThatMatch() throws {
        let sample = try SampleStore()
        let log = AuditLog(sample.locations)
        try log.append((0..<2500).map { event($0.isMultiple(of: 2) ? "even" : "odd", at: $0) })
        #expect(try log.read(last: 3).events.map(\.at.microsecondsSince1970) == [2497, 2498, 2499])
        let even = try log.read(last: 2) { $0.patch == "even" }
        #expect(even.events.map(\.at.microsecondsSince1970) == [2496, 2498])
        #expect(try log.read(last: 0).events.isEmpty)
        #expect(try log.read().events.count == 2500)
    }

    /// Whatever is in it: what is a record is told, and of the rest how much it is.
    @Test func whatIsNoRecordIsPassedOver() throws {
        let sample = try SampleStore()
        let log = AuditLog(sample.locations)
        try log.append(event("a"))
        let good = try sample.locations.audit.bytes()
        let rubbish: [[UInt8]] = [
            Array("no JSON\n".utf8), Array("{}\n".utf8), [0, 0xff, 0xfe, 0x0a],
            Array(#"{"schema":9,"time":"x"}"#.utf8) + [0x0a],
            // Longer than any record: its end is not believed either.
            [UInt8](repeating: 0x20, count: AuditLog.lineLimit) + good,
            Array(repeating: 0x5b, count: 100_000) + [0x0a],
        ]
        try sample.locations.audit.write(good + rubbish.flatMap(\.self) + good)
        let records = try log.read()
        #expect(records.events.map(\.patch) == ["a", "a"])
        #expect(records.skippedCount == rubbish.count)
        #expect(records.skippedLines == [2, 3, 4, 5, 6, 7])
        #expect(!records.isTorn)
        let result = try sample.run(["log", "--format", "tsv"])
        #expect(result.succeeded && result.output.split(separator: "\n").count == 3)
        #expect(
            result.errorOutput.contains("skipped 6 line(s) that are no records (line 2, 3, 4, 5, 6")
        )
    }

    /// A write that was cut off costs its own record and no other.
    @Test func aTornLine() throws {
        let sample = try SampleStore()
        let log = AuditLog(sample.locations)
        try log.append([event("a"), event("b")])
        let whole = try sample.locations.audit.bytes()
        let lines = whole.split(separator: 0x0a, omittingEmptySubsequences: false)
        let second = try #require(lines.dropFirst().first)
        for cut in 1...second.count {
            try sample.locations.audit.write(Array(whole.dropLast(cut)))
            let torn = try log.read()
            #expect(torn.events.map(\.patch) == ["a"] && torn.skippedCount == 0)
            #expect(torn.isTorn == (cut < second.count + 1))
            if cut == 5 {
                let result = try sample.run(["log"])
                #expect(result.succeeded)
                #expect(result.errorOutput.contains("skipped the last line, which was cut off"))
            }
            // The next one begins on a line of its own; where only the end of the line
            // was missing, both are whole.
            try log.append(event("c"))
            let records = try log.read()
            let isWhole = cut == 1
            #expect(records.events.map(\.patch) == (isWhole ? ["a", "b", "c"] : ["a", "c"]))
            #expect(records.skippedCount == (isWhole ? 0 : 1) && !records.isTorn)
        }
    }

    /// Lines of several writers never mix, and none is lost.
    @Test func manyWriters() throws {
        let sample = try SampleStore()
        let long = String(repeating: "x", count: 3000)
        let results = WorkerThreads.map(Array(0..<4), limit: 4) { writer in
            Result {
                let log = AuditLog(sample.locations)
                for number in 0..<200 {
                    var event = AuditEvent(.apply, result: "applied")
                    event.patch = "\(writer)"
                    event.stallMicroseconds = Int64(number)
                    event.message = number.isMultiple(of: 3) ? long : nil
                    try log.append([event], syncing: false)
                }
            }
        }
        for result in results { try result.get() }
        let records = try AuditLog(sample.locations).read()
        #expect(records.skippedCount == 0 && !records.isTorn)
        for writer in 0..<4 {
            let own = records.events.filter { $0.patch == "\(writer)" }
            #expect(own.compactMap(\.stallMicroseconds) == Array(0..<200))
        }
    }

    /// logrotate(8) may move it away at any time.
    @Test func aLogThatIsMovedAway() throws {
        let sample = try SampleStore()
        let log = AuditLog(sample.locations)
        try log.append(event("a"))
        try sample.locations.audit.rename(to: sample.locations.state.appending("audit.jsonl.1"))
        try log.append(event("b"))
        #expect(try log.read().events.map(\.patch) == ["b"])
    }

    @Test func whatOthersMayWriteToIsNotBelieved() throws {
        let sample = try SampleStore()
        let log = AuditLog(sample.locations)
        try log.append(event("a"))
        #expect(unsafe chmod(sample.locations.audit.string, 0o622) == 0)
        #expect(throws: StoreError.self) { try log.append(event("b")) }
        #expect(throws: StoreError.self) { try log.read() }
        try sample.locations.audit.remove()
        let elsewhere = sample.directory.path.appending("elsewhere")
        #expect(unsafe symlink(elsewhere.string, sample.locations.audit.string) == 0)
        #expect(throws: StoreError.untrusted(sample.locations.audit, .symbolicLink)) {
            try log.append(event("b"))
        }
        #expect(unsafe access(elsewhere.string, F_OK) != 0)
        // A pipe that nobody reads keeps nobody waiting.
        try sample.locations.audit.remove()
        #expect(unsafe mkfifo(sample.locations.audit.string, 0o600) == 0)
        #expect(throws: StoreError.untrusted(sample.locations.audit, .notARegularFile)) {
            try log.append(event("b"))
        }
    }

    @Test func longOnesAreCut() throws {
        let sample = try SampleStore()
        let log = AuditLog(sample.locations)
        var long = event("a")
        long.message = String(repeating: "\u{1}", count: 1 << 20)
        long.actor.command = String(repeating: "\u{1}", count: AuditEvent.commandLimit)
        try log.append(long)
        let read = try #require(try log.read().events.first)
        #expect(read.message?.count == AuditEvent.messageLimit)
        #expect(read.message?.last == "…")
    }

    /// Whatever the file holds, reading it ends, with records or without.
    @Test(arguments: 0..<2000)
    func hostileLines(seed: Int) throws {
        var event = event("fix")
        event.process = AuditEvent.Process(pid: 1, startTime: 2, executable: "/srv/daemon")
        event.message = "text"
        var mutator = Mutator(seed: UInt64(seed))
        let line = mutator.mutated(Array(event.json.text().utf8))
        do throws(JSONError) {
            let read = try AuditEvent(JSONValue(parsing: line))
            #expect(try AuditEvent(read.json) == read)
        } catch {
            #expect(!error.description.isEmpty)
        }
    }

    /// The journal gets what the log gets, and nobody waits for it.
    @Test func theJournal() throws {
        let sample = try SampleStore()
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) {
            unsafe $0.copyBytes(from: Array(sample.locations.journal.string.utf8))
        }
        let bound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0)
        var refused = event("fix")
        refused.code = "switch.busy"
        refused.message = "one\ntwo"
        try AuditLog(sample.locations).append(refused)
        // More than it takes before it would block.
        for _ in 0..<2000 { Journal(socket: sample.locations.journal).send(refused) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = unsafe recv(socket, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        #expect(Array(bytes.prefix(max(count, 0))) == Journal.record(refused))
        let text = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
        for field in ["SYSLOG_IDENTIFIER", "HOTPATCH_PATCH", "HOTPATCH_CODE", "PRIORITY"] {
            #expect(text.contains(field + "\n"))
        }
    }
}

/// `hotpatch log`.
@Suite struct LogCommandTests {
    @Test func filters() throws {
        let sample = try SampleStore()
        let log = AuditLog(sample.locations)
        let now = Moment.now.microsecondsSince1970
        let hour: Int64 = 3_600_000_000
        for (age, patch, pid) in [(50, "a", 10), (3, "a", 11), (2, "b", 10), (1, "b", 11)] {
            var event = AuditEvent(
                .apply, result: "applied",
                at: Moment(microsecondsSince1970: now - Int64(age) * hour))
            event.patch = patch
            event.process = AuditEvent.Process(
                pid: Int32(pid), startTime: 1, executable: "/srv/daemon")
            try log.append(event)
        }
        func ages(_ options: [String]) throws -> [Int64] {
            let result = try sample.run(["log", "--format", "json"] + options)
            try #require(result.succeeded, "\(result.errorOutput)")
            let top = JSONCursor(try JSONValue(parsing: result.outputBytes))
            return try top.member("events").elements().map { event in
                let moment = try #require(Moment(try event.member("time").string()))
                return (now - moment.microsecondsSince1970) / hour
            }
        }
        #expect(try ages([]) == [50, 3, 2, 1])
        #expect(try ages(["--patch", "a"]) == [50, 3])
        #expect(try ages(["--pid", "10"]) == [50, 2])
        #expect(try ages(["--pid", "10", "--patch", "b"]) == [2])
        #expect(try ages(["-n", "2"]) == [2, 1])
        #expect(try ages(["--patch", "a", "--lines", "1"]) == [3])
        #expect(try ages(["--since", "150m"]) == [2, 1])
        #expect(try ages(["--since", "1d"]) == [3, 2, 1])
        #expect(try ages(["--since", "2000-01-01"]) == [50, 3, 2, 1])
        #expect(try ages(["--patch", "c"]) == [])
        let nothing = try sample.run(["log", "--patch", "c"])
        #expect(nothing.output == "The log has nothing of that kind.\n")
        for wrong in [["--since", "yesterday"], ["-n", "-1"], ["--pid", "x"]] {
            #expect(try sample.run(["log"] + wrong).code == 64)
        }
    }

    @Test func aTableForPeople() throws {
        let sample = try SampleStore()
        let patch = try sample.write(SamplePatch.bytes("a"), as: "a")
        #expect(try sample.run(["install", patch, "--no-apply"]).succeeded)
        #expect(try sample.run(["uninstall", "b"]).code == 5)
        let torn = try sample.write([1, 2, 3], as: "torn")
        #expect(try sample.run(["install", torn]).code == 1)
        let lines = try sample.run(["log"]).output.split(separator: "\n")
        #expect(lines.count == 4)
        for (line, words) in zip(
            lines,
            [
                ["TIME", "ACTION", "DETAIL"], ["install", "installed", "a"],
                ["uninstall", "no-such-target", "b", "[series.not-installed]"],
                ["install", "failed", "[elf.not-elf]"],
            ])
        {
            for word in words { #expect(line.contains(word), "\(line)") }
        }
    }

    @Test func whereThereIsNone() throws {
        let sample = try SampleStore()
        #expect(try sample.run(["log"]).output == "The log has nothing of that kind.\n")
    }
}
