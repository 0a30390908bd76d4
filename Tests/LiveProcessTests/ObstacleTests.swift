import Glibc
import LiveProcess
import SystemPackage
import TestSupport
import Testing

/// Targets that cannot be stopped or traced, now or at all: each says why, and
/// goes on.
@Suite(.serialized) struct ObstacleTests {
    private func stopError(_ target: TargetProcess) -> LiveProcessError? {
        do throws(LiveProcessError) {
            _ = try target.withAllThreadsStopped { _ in () }
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: ["vfork", "clone"])
    func memorySharedWithAnotherProcess(_ kind: String) throws {
        let target = try StartedTarget("sharer", [kind])
        let other = try #require(Int32(target.greeting.dropFirst()))
        let error = stopError(target.process)
        guard case .cannotStopNow(_, let obstacle) = error else {
            Issue.record("neither \(String(describing: error)) nor a stop was expected")
            return
        }
        if kind == "clone" {
            #expect(obstacle == .memoryShared(with: ProcessID(rawValue: other)))
        }
        #expect(try target.process.facts().tracer == nil)
        #expect(try target.victim.ask("end") == "alone")
        try stopOnce(target.process)
    }

    @Test func theFirstThreadHasEnded() throws {
        let target = try StartedTarget("headless")
        for _ in 0..<100 { #expect(try stopOnce(target.process).threadCount == 1) }
        #expect(try target.victim.ask("hello") == "alive")
    }

    @Test func anotherToolTracesIt() throws {
        let target = try StartedTarget("spinners", ["0", "1", "1"])
        let tracer = try Victim(Fixture.compile("tracer"), ["\(target.victim.pid)"])
        _ = try tracer.readLine()
        let expected = LiveProcessError.alreadyTraced(
            target.process.id, thread: ThreadID(rawValue: target.victim.pid),
            by: ProcessID(rawValue: tracer.pid), name: "tracer")
        #expect(stopError(target.process) == expected)
        #expect(throws: LiveProcessError.self) {
            try target.process.withRemoteCalls { calls throws(LiveProcessError) in
                _ = try calls.perform(.prctl, 0)
            }
        }
        tracer.kill()
        try stopOnce(target.process)
        try target.expectProgress("rounds", beyond: try target.number("rounds"))
    }

    @Test(.enabled(if: geteuid() == 0)) func anotherUserMayNot() throws {
        let target = try StartedTarget("spinners", ["0", "1", "1"])
        let folder = try TemporaryDirectory()
        let tool = folder.path.appending("tool")
        let built = try BuiltProduct.path("live-process-exerciser")
        #expect(try Command.run("cp", [built.string, tool.string]).succeeded)
        #expect(try Command.run("chmod", ["-R", "a+rx", folder.path.string]).succeeded)
        for action in ["stops", "calls"] {
            let run = try Command.run(
                "setpriv",
                ["--reuid=65534", "--clear-groups", tool.string, action, "\(target.victim.pid)"])
            #expect(run.output.hasPrefix("process.not-permitted\n"), "\(run.output)")
            #expect(run.output.contains("user 0"), "\(run.output)")
        }
    }

    @Test func aProgramFor32BitsIsRefused() throws {
        let source = Fixture.sources.appending("pause32.S")
        let folder = try TemporaryDirectory()
        let program = folder.path.appending("pause32")
        try Fixture.compile(source: source, to: program, flags: ["-m32", "-nostdlib", "-static"])
        let victim = try Victim(program)
        #expect(try victim.readLine() == "ready")
        let target = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        #expect {
            try target.withRemoteCalls { _ in () }
        } throws: { error in
            if case LiveProcessError.foreignProgram = error { true } else { false }
        }
    }

    @Test func aProgramThatReplacesItself() throws {
        let target = try StartedTarget("execer")
        var stops = 0
        var seen: Set<String> = []
        for _ in 0..<300 {
            // What was learned of one program is not used on the next.
            guard let process = try? TargetProcess.find(target.process.id) else { continue }
            switch stopError(process) {
            case nil: stops += 1
            case .programChanged, .cannotStopNow, .ended, .unreadable: break
            case let error?: seen.insert("\(error)")
            }
        }
        #expect(seen.isEmpty)
        #expect(stops > 0)
        let before = try target.number("generation")
        while try target.number("generation") <= before {}
    }

    @Test func processesThatEndMeanwhile() throws {
        for round in 0..<40 {
            let target = try StartedTarget("spinners", ["0", "1", "20"])
            if round % 2 == 0 { target.victim.closeInput() } else { target.victim.signal(SIGKILL) }
            while true {
                let error = stopError(target.process)
                if error == nil { continue }
                if case .cannotStopNow = error { continue }
                #expect(error == .ended(target.process.id))
                break
            }
            let status = try target.victim.waitForExit()
            #expect(status == (round % 2 == 0 ? .exited(0) : .killed(signal: SIGKILL)))
        }
    }
}
