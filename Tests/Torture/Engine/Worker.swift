import Glibc
import Switchover
import SystemPackage
import TestSupport

/// The process that does what the tool does, in children that can be killed.
public final class Worker {
    /// When a child is to be killed.
    public enum Death: Sendable {
        case never
        /// So many nanoseconds after its start.
        case after(UInt64)
        /// So many nanoseconds after it has come to that phase.
        case at(SwitchPhase, UInt64)
    }

    public enum Outcome: Equatable {
        case done
        case failed(String)
        /// Killed, in that phase; nil where it had not come to any.
        case killed(SwitchPhase?)
    }

    private let program: Victim
    private let directory: TemporaryDirectory
    private let file: FileDescriptor

    /// - Parameter pid: the process that everything is done to.
    public init(for pid: Int32, patches: [FilePath]) throws {
        directory = try TemporaryDirectory()
        let phases = directory.path.appending("phase")
        try phases.write([UInt8](repeating: 0, count: 4096))
        file = try FileDescriptor.open(phases, .readOnly, options: .closeOnExec)
        program = try Victim(
            BuiltProduct.path("torture-worker"),
            [phases.string, "\(pid)"] + patches.map(\.string))
        guard try program.readLine() == "ready" else {
            throw Violation(.other, "the worker does not start")
        }
    }

    deinit { try? file.close() }

    public func perform(_ operation: Operation, _ death: Death = .never) throws -> Outcome {
        let (phase, delay): (UInt8, UInt64) =
            switch death {
            case .never: (0, 0)
            case .after(let nanoseconds): (0, max(nanoseconds, 1))
            case .at(let phase, let nanoseconds): (phase.rawValue, nanoseconds)
            }
        var failure = "it ended without a word"
        try program.send("\(operation.request) \(phase) \(delay)")
        while true {
            let line = try program.readLine()
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            switch (words.first, words.last) {
            case ("failed", let why?): failure = why
            case ("exited", "0"): return .done
            case ("exited", _): return .failed(failure)
            case ("killed", "\(SIGKILL)"): return .killed(SwitchPhase(rawValue: try lastPhase()))
            default: return .failed(line)
            }
        }
    }

    /// What it does, for messages.
    var threads: String {
        children(of: program.pid).map { describeThreads(of: $0) + "\n" }.joined()
    }

    private func lastPhase() throws -> UInt8 {
        var byte: UInt8 = 0
        _ = try unsafe withUnsafeMutableBytes(of: &byte) {
            try unsafe file.read(fromAbsoluteOffset: 0, into: $0)
        }
        return byte
    }
}
