import LiveProcess
import PatchFile
import Switchover
import SystemPackage
import TestSupport
import Testing

/// A program with a thread in each kind of call that can block (signal(7) lists
/// them) is patched and put back again and again: no call may tell of it.
@Suite(.serialized) struct BlockingCallTests {
    /// From the first thread that was asked to stop to the last that was let go, in
    /// nanoseconds of CLOCK_MONOTONIC.
    private typealias Stop = Range<Int>

    private static let timeout = 30_000_000
    /// For a machine that is busy with other things.
    private static let slack = 2_000_000_000

    @Test func noCallNoticesAThousandPatches() throws {
        let blockers = try Blockers()
        var stops: [Stop] = []
        for round in 0..<1000 {
            stops += try blockers.patchAndPutBack()
            // Finding out early saves a minute.
            if round % 100 == 0 { try blockers.expectNoMistakes() }
        }
        try blockers.expectNoMistakes()
        try blockers.victim.send("late")
        while case let line = try blockers.victim.readLine(), line != "end" {
            let words = line.split(separator: " ")
            let start = try #require(words.count == 3 ? Int(words[1]) : nil)
            let end = try #require(Int(words[2]))
            #expect(
                end - Self.lastStart(String(words[0]), from: start, to: end, stops)
                    < Self.timeout + Self.slack, "\(line)")
        }
    }

    @Test func aSignalWithAHandlerInterruptsAsEver() throws {
        let blockers = try Blockers()
        #expect(try blockers.victim.ask("interrupt") == "begun")
        for _ in 0..<100 { _ = try blockers.patchAndPutBack() }
        let words = try blockers.victim.ask("calm").split(separator: " ")
        #expect(words.first == "interrupted")
        let (interrupted, missed) = try #require(
            words.count == 4 ? (Int(words[1]) ?? 0, Int(words[3]) ?? 0) : nil)
        // A few come when a thread is on its way back into its call.
        #expect(interrupted > 200 && missed < interrupted / 5, "\(words)")
        try blockers.expectNoMistakes()
    }

    /// When a call that ended at `end` began to wait for the last time.
    ///
    /// Of these calls the kernel knows no more, after a stop, than what they were
    /// called with; all others it goes on with where they were.
    private static func lastStart(
        _ name: String, from start: Int, to end: Int, _ stops: [Stop]
    ) -> Int {
        let startAnew = [
            "timed_epoll", "timed_sigtimedwait", "timed_semtimedop", "timed_io", "timed_re",
            "timed_accept", "timed_send", "timed_write",
        ]
        guard startAnew.contains(where: name.hasPrefix) else { return start }
        return max(start, stops.last { $0.lowerBound <= end }?.upperBound ?? start)
    }

    private struct Blockers {
        let victim: Victim
        private let process: TargetProcess
        private let patch: PatchFile

        /// No call has told of what was done.
        func expectNoMistakes(sourceLocation: SourceLocation = #_sourceLocation) throws {
            let report = try victim.ask("report")
            #expect(report == "none", sourceLocation: sourceLocation)
        }

        init() throws {
            let program = try Fixture.compile(
                "blockers", flags: ["-O2", "-g", "-pthread", "-Wall", "-Werror"])
            let directory = try TemporaryDirectory()
            patch = try HandmadePatch.make(
                name: "answer", fix: Fixture.sources.appending("blockers-fix.c"), base: program,
                replacing: ["answer"], in: directory)
            victim = try Victim(program)
            _ = try victim.readLine(startingWith: "ready")
            process = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        }

        func patchAndPutBack() throws -> [Stop] {
            let applied = try Switchover.apply(patch, to: process)
            #expect(applied.outcome == .applied)
            #expect(try victim.ask("answer") == "2")
            let reverted = try Switchover.revert("answer", in: process)
            #expect(reverted.outcome == .reverted)
            #expect(try victim.ask("answer") == "1")
            return [applied.stop, reverted.stop].compactMap { stop in
                stop.map { Int($0.began)..<Int($0.began + $0.allStopped) }
            }
        }
    }
}
