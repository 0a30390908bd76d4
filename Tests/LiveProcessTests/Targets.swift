import LiveProcess
import TestSupport
import Testing

/// A victim that has said that it is ready, as a target.
struct StartedTarget {
    let victim: Victim
    let process: TargetProcess
    /// What it said behind "ready".
    let greeting: String

    init(_ fixture: String, _ arguments: [String] = [], flags: [String] = []) throws {
        let program = try Fixture.compile(
            fixture, flags: ["-O2", "-g", "-pthread", "-Wall", "-Werror"] + flags)
        victim = try Victim(program, arguments)
        greeting = try victim.readLine(startingWith: "ready")
        // Some speak for another process, whose number they tell.
        let number = Int32(greeting.dropFirst()).map(ProcessID.init(rawValue:))
        process = try TargetProcess.find(
            arguments.last == "alone"
                ? number ?? ProcessID(rawValue: 0)
                : ProcessID(rawValue: victim.pid))
    }

    /// The number with which the victim answers.
    func number(_ question: String) throws -> Int {
        try #require(Int(try victim.ask(question)))
    }

    /// Asks until the answer is greater than `bound`: the victim goes on working.
    func expectProgress(_ question: String, beyond bound: Int) throws {
        while try number(question) <= bound {}
    }
}

/// Stops and releases the target with an empty body, and again where that cannot
/// be done just then, up to the given number of tries.
@discardableResult
func stopOnce(
    _ target: TargetProcess, _ options: StopOptions = StopOptions(), tries: Int = 1000
) throws -> StopReport {
    for _ in 0..<tries {
        do throws(LiveProcessError) {
            if case .done(_, let report) = try target.withAllThreadsStopped(options, { _ in () }) {
                return report
            }
        } catch .cannotStopNow {
            continue
        }
    }
    return try #require(nil, "no stop in \(tries) tries")
}
