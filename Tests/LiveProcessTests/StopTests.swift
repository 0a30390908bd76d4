import Glibc
import LiveProcess
import TestSupport
import Testing

@Suite(.serialized) struct StopTests {
    @Test func aThousandThreadsStopAndGoOn() throws {
        let target = try StartedTarget("spinners", ["1", "1", "997"])
        for _ in 0..<20 {
            let rounds = try target.number("rounds")
            let report = try stopOnce(target.process)
            #expect(report.threadCount == 1000)
            try target.expectProgress("rounds", beyond: rounds)
        }
        #expect(try target.number("wrong") == 0)
    }

    @Test func threadsStandStillWhileStopped() throws {
        let target = try StartedTarget("spinners", ["0", "3", "5"])
        for _ in 0..<50 {
            var judged: [ThreadID] = []
            let outcome = try target.process.withAllThreadsStopped(judging: { thread in
                judged.append(thread.id)
                return .fine
            }) { process in
                let threads = process.threads
                let states = threads.map { thread in
                    (try? Command.run("cat", ["/proc/\(target.victim.pid)/task/\(thread.id)/stat"]))?
                        .output.contains(") t ")
                }
                return (threads, states)
            }
            guard case .done((let threads, let states), let report) = outcome else {
                Issue.record("given up")
                return
            }
            #expect(threads.count == 9 && Set(threads.map(\.id)) == Set(judged))
            #expect(states == [Bool?](repeating: true, count: 9))
            #expect(report.runningCount >= 3)
            // Sleepers before runners.
            #expect(threads.drop { !$0.wasRunning }.allSatisfy { $0.wasRunning })
            if threads.isEmpty { break }
        }
        #expect(try target.process.facts().tracer == nil)
    }

    @Test func aJudgementEndsTheStop() throws {
        let target = try StartedTarget("spinners", ["0", "2", "5"])
        var judged = 0
        let outcome = try target.process.withAllThreadsStopped(judging: { _ in
            judged += 1
            return judged == 3 ? .giveUp : .fine
        }) { _ in Issue.record("the body ran all the same") }
        guard case .givenUp = outcome else {
            Issue.record("not given up")
            return
        }
        #expect(judged == 3)
        let rounds = try target.number("rounds")
        try target.expectProgress("rounds", beyond: rounds)
        try stopOnce(target.process)
    }

    @Test func noBlockingCallNoticesAStop() throws {
        let target = try StartedTarget("blockers")
        for _ in 0..<200 { try stopOnce(target.process) }
        #expect(try target.victim.ask("report") == "none")
    }

    @Test func aProgramStoppedBeforehandStaysStopped() throws {
        let target = try StartedTarget("spinners", ["0", "1", "3"])
        target.victim.signal(SIGSTOP)
        while try target.process.facts().state != .stopped {}
        for _ in 0..<20 {
            try stopOnce(target.process)
            while try target.process.facts().state != .stopped {}
        }
        target.victim.signal(SIGCONT)
        let rounds = try target.number("rounds")
        try target.expectProgress("rounds", beyond: rounds)
    }

    @Test(arguments: ["threads", "forks", "spawns"])
    func birthsAndEndsDoNotDisturb(_ kind: String) throws {
        let target = try StartedTarget("storm", [kind])
        for _ in 0..<100 { try stopOnce(target.process) }
        try target.expectProgress("births", beyond: try target.number("births"))
    }

    @Test func noSignalIsLostOrDoubled() throws {
        let target = try StartedTarget("signals", ["20000", "2000"])
        try target.victim.send("go")
        var stops = 0
        while try target.process.facts().threadCount > 6 || stops < 100 {
            try stopOnce(target.process)
            stops += 1
        }
        #expect(try target.victim.readLine() == "done queued=20000,20000 interrupted=2000,2000")
    }

    @Test func registersAndFlagsSurvive() throws {
        let target = try StartedTarget("spinners", ["0", "3", "0"])
        for _ in 0..<500 { try stopOnce(target.process) }
        try target.expectProgress("rounds", beyond: try target.number("rounds"))
        #expect(try target.number("wrong") == 0)
    }
}
