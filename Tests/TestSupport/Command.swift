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
        let output = try Capture()
        let errors = try Capture()
        let nothing = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(nothing) }
        let child = try ChildProcess(
            [program] + arguments, environment: inheritedEnvironment(with: environment),
            streams: [nothing, output.descriptor, errors.descriptor])
        let exit = try child.waitForExit()
        return try Command(exit: exit, outputBytes: output.bytes(), errorBytes: errors.bytes())
    }
}

/// A file without a name, into which a command writes.
private struct Capture: ~Copyable {
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
    /// All bytes of the file, wherever its position is.
    func contents() throws -> [UInt8] {
        let size = try seek(offset: 0, from: .end)
        var bytes = [UInt8](repeating: 0, count: Int(size))
        let count = try unsafe bytes.withUnsafeMutableBytes {
            try unsafe read(fromAbsoluteOffset: 0, into: $0)
        }
        return Array(bytes[..<count])
    }
}

/// This process's environment with some variables set.
func inheritedEnvironment(with changes: [String: String]) -> [String] {
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
