import Glibc
import Synchronization
import SystemPackage

/// A program under test, talked to line by line through its standard streams.
/// Its standard error is the test run's. It is killed when this value goes.
public final class Victim: Sendable {
    private let process: ChildProcess
    private let input: Mutex<PipeEnd?>
    private let output: PipeEnd
    private let unread = Mutex<[UInt8]>([])

    public var pid: Int32 { process.pid }
    public var isRunning: Bool { process.isRunning }

    /// Starts `program`. It is certain to run its own code only once it has
    /// written a first line.
    public init(
        _ program: FilePath, _ arguments: [String] = [], environment: [String: String] = [:]
    ) throws {
        // A victim that dies while it is written to is a failed test, not a dead run.
        _ = Glibc.signal(SIGPIPE, SIG_IGN)
        let toChild = try PipeEnd.pair()
        let fromChild = try PipeEnd.pair()
        process = try ChildProcess(
            [program.string] + arguments, environment: inheritedEnvironment(with: environment),
            streams: [toChild.read.descriptor, fromChild.write.descriptor, STDERR_FILENO])
        input = Mutex(toChild.write)
        output = fromChild.read
    }

    /// The next line, without its end, as soon as it is there.
    public func readLine() throws -> String {
        try unread.withLock { bytes in
            while true {
                if let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
                    let line = String(decoding: bytes[..<end], as: UTF8.self)
                    bytes.removeFirst(end + 1)
                    return line
                }
                guard let more = try output.read("a line of process \(pid)") else {
                    throw TestSupportError(
                        "process \(pid) closed its output, \(bytes.count) bytes unread")
                }
                bytes += more
            }
        }
    }

    /// Reads on until a line begins with `prefix`, and returns what follows.
    public func readLine(startingWith prefix: String) throws -> String {
        while true {
            let line = try readLine()
            if line.hasPrefix(prefix) { return String(line.dropFirst(prefix.count)) }
        }
    }

    public func send(_ line: String) throws {
        try input.withLock { end in
            guard let end else { throw TestSupportError("the input of \(pid) is closed") }
            try end.write(Array((line + "\n").utf8))
        }
    }

    /// Sends a line and returns the line that answers it.
    public func ask(_ line: String) throws -> String {
        try send(line)
        return try readLine()
    }

    public func closeInput() { input.withLock { $0 = nil } }
    public func signal(_ number: Int32) { process.signal(number) }
    public func kill() { process.kill() }
    public func waitForExit() throws -> ExitStatus { try process.waitForExit() }
}
