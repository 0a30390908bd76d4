import SystemPackage
import TestSupport
import Testing

@testable import PatchStore

/// What the tool does to the files of a store, one call to the kernel after the other
/// (Fixtures/store/steps.c), and what becomes of it when one of them is its last.
struct Step: CustomStringConvertible {
    let microseconds: Int
    let operation: String
    let error: Int32
    let path: FilePath
    /// Where it is renamed to.
    let other: FilePath?

    var description: String {
        "\(operation) \(path)" + (other.map { " \($0)" } ?? "") + (error == 0 ? "" : ": \(error)")
    }

    private init?(line: String) {
        let words = line.split(separator: " ")
        guard words.count >= 4, let microseconds = Int(words[0]), let error = Int32(words[2]) else {
            return nil
        }
        self.microseconds = microseconds
        self.error = error
        operation = String(words[1])
        path = FilePath(String(words[3]))
        other = words.count > 4 ? FilePath(String(words[4])) : nil
    }

    enum Event: String { case kill, tear, fail }

    /// Runs the tool with a store.
    ///
    /// - Parameters:
    ///   - event: what happens, and at which step, from 1 on.
    ///   - killAfter: when it is killed, in microseconds after its first step.
    static func run(
        _ arguments: [String], in sample: SampleStore, event: (what: Event, at: Int)? = nil,
        killAfter: Int? = nil
    ) throws -> (result: Command, steps: [Step]) {
        let library = try Fixture.compile(
            "store/steps", flags: ["-std=gnu17", "-O1", "-fPIC", "-shared"], output: "steps.so")
        let log = sample.directory.path.appending("steps")
        try log.write([])
        var environment = [
            "LD_PRELOAD": library.string, "STEPS_UNDER": sample.locations.state.string,
            "STEPS_LOG": log.string,
        ]
        if let event {
            environment["STEPS_DO"] = event.what.rawValue
            environment["STEPS_AT"] = "\(event.at)"
        }
        if let killAfter { environment["STEPS_KILL_AFTER"] = "\(killAfter)" }
        let result = try sample.run(arguments, environment: environment)
        return (result, try log.lines().compactMap { Step(line: $0) })
    }
}
