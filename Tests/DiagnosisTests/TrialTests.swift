import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Diagnosis

/// The trials themselves, on this kernel: the other tests need tracing too.
@Suite struct TrialTests {
    @Test func tracingAndWriting() throws {
        let trace = try Trial<TraceStep>.run()
        #expect(trace.failure == nil)
        let memory = try Trial<MemoryStep>.run()
        #expect(memory[.read] == .done)
        #expect(memory[.compare] == .done)
    }

    @Test func executableMemory() throws {
        #expect(try Trial<PayloadStep>.run()[.anonymous] == .done)
    }

    /// Whatever comes of it, it is the child that got the priority.
    @Test func priorityIsNotOurs() throws {
        let before = sched_getscheduler(0)
        #expect(try Trial<PriorityStep>.run()[.set] != .notReached)
        #expect(sched_getscheduler(0) == before)
    }

    /// Of the steps, one tells why the later ones were not made.
    @Test func aFileThatIsNotThere() throws {
        let trial = try Trial<ExecHoldStep>.run(
            marking: "/nonexistent/program", running: "/nonexistent/program")
        let failure = try #require(trial.failure)
        #expect(failure.step == .mark || failure.step == .initialize)
        #expect(trial[.event] == .notReached)
    }

    /// A program that does not start raises no event: the trial ends all the same.
    @Test func aFileThatDoesNotRun() throws {
        let folder = try TemporaryDirectory()
        let file = folder.path.appending("text")
        try file.write(Array("no program".utf8))
        let trial = try Trial<ExecHoldStep>.run(marking: file, running: file)
        #expect(trial.failure != nil)
        #expect(trial[.stop] != .done)
    }

    /// The kernel either lets a held program be traced, or hangs, and is given up.
    @Test func holdingAProgram() throws {
        let trials = ExecTrials()
        let program = try trials.program().get()
        let interpreter = try trials.interpreter().get()
        guard program[.initialize] == .done else {
            #expect(program[.initialize] == .failed(.notPermitted))
            return
        }
        for trial in [program, interpreter] {
            #expect(trial[.event] == .done)
            #expect([.done, .blocked].contains(trial[.seize]))
            if trial[.seize] == .done { #expect(trial.failure == nil) }
        }
    }
}
