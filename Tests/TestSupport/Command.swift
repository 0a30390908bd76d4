import CLinuxTrace
import Glibc
import SystemPackage

/// A program run to its end.
public struct Command: Sendable {
    public let exit: ExitStatus
    public let outputBytes: [UInt8]
    public let errorBytes: [UInt8]

    public var output: String { String(decoding: outputBytes, as: UTF8.self) }
    public var errorOutput: String { String(decoding: errorBytes, as: UTF8.self) }
    public var succeeded: Bool { exit == .exited(0) }
    /// The exit code; nil where a signal ended it.
    public var code: Int32? { if case .exited(let code) = exit { code } else { nil } }

    /// Runs a program, found in PATH where its name has no slash, with nothing
    /// at its standard input.
    public static func run(
        _ program: String, _ arguments: [String] = [], environment: [String: String] = [:]
    ) throws -> Command {
        try RunningCommand(program, arguments, environment: environment).finish()
    }
}

/// A program that runs beside the test; it is killed when this value goes.
public final class RunningCommand: Sendable {
    private let child: ChildProcess
    private let output: Capture
    private let errors: Capture

    public var pid: Int32 { child.pid }
    public var isRunning: Bool { child.isRunning }

    /// Starts it as ``Command/run(_:_:environment:)`` does.
    public init(
        _ program: String, _ arguments: [String] = [], environment: [String: String] = [:]
    ) throws {
        output = try Capture()
        errors = try Capture()
        let nothing = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(nothing) }
        child = try ChildProcess(
            [program] + arguments, environment: inheritedEnvironment(with: environment),
            streams: [nothing, output.descriptor, errors.descriptor])
    }

    public func signal(_ number: Int32) { child.signal(number) }

    /// What it has written to its standard output so far, in whole lines.
    public func outputSoFar() throws -> String {
        let bytes = try output.bytes()
        let end = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        return String(decoding: bytes[..<end], as: UTF8.self)
    }

    /// What it has written to its standard error so far.
    public func errorOutputSoFar() throws -> String {
        String(decoding: try errors.bytes(), as: UTF8.self)
    }

    /// Waits for its end.
    public func finish() throws -> Command {
        let exit = try child.waitForExit()
        return try Command(exit: exit, outputBytes: output.bytes(), errorBytes: errors.bytes())
    }
}

/// A file without a name, into which a command writes.
private final class Capture: Sendable {
    let descriptor: Int32

    init() throws {
        descriptor = unsafe clinux_memory_file("capture")
        guard descriptor >= 0 else {
            throw TestSupportError("cannot make a file in memory: error \(-descriptor)")
        }
    }

    deinit { close(descriptor) }

    func bytes() throws -> [UInt8] {
        try FileDescriptor(rawValue: descriptor).contents()
    }
}

extension FileDescriptor {
    /// All bytes of the file, read without moving its position, which a child
    /// may share.
    func contents() throws -> [UInt8] {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = try unsafe piece.withUnsafeMutableBytes {
                try unsafe read(fromAbsoluteOffset: Int64(bytes.count), into: $0)
            }
            if count == 0 { return bytes }
            bytes += piece.prefix(count)
        }
    }
}

/// This process's environment with some variables set.
///
/// No test works with the store of the machine, nor writes to its log or journal.
func inheritedEnvironment(with changes: [String: String]) -> [String] {
    let places = placesOfRun.merging(changes) { $1 }
    return environment(with: places)
}

/// Where `hotpatch` keeps its files in this run, unless a test says otherwise.
private let placesOfRun: [String: String] = {
    // Where there is no folder, nothing can be written.
    let folder = (try? TemporaryDirectory.forWholeRun.get().path) ?? "/dev/null"
    return [
        "HOTPATCH_STATE_DIR": folder.appending("state").string,
        "HOTPATCH_CONFIG_DIR": folder.appending("config").string,
        "HOTPATCH_RUN_DIR": folder.appending("run").string,
        "HOTPATCH_JOURNAL_SOCKET": folder.appending("journal").string,
    ]
}()

private func environment(with changes: [String: String]) -> [String] {
    var kept: [String] = []
    var index = 0
    while let entry = unsafe environ[index] {
        let text = unsafe String(cString: entry)
        let name = String(text.prefix { $0 != "=" })
        if changes[name] == nil { kept.append(text) }
        index += 1
    }
    return kept + changes.map { "\($0.key)=\($0.value)" }
}
