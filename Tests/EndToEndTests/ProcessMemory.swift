import Addresses
import LiveProcess
import SystemPackage
import TestSupport

/// The memory of a process, read and written whatever its kinds of access are, as a
/// tracer and the process itself can.
struct ProcessMemory {
    private let path: FilePath

    init(of process: ProcessID) { path = FilePath("/proc/\(process)/mem") }

    func read(_ address: RemoteAddress, count: Int) throws -> [UInt8] {
        let file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        return try file.closeAfter {
            var bytes = [UInt8](repeating: 0, count: count)
            let found = try unsafe bytes.withUnsafeMutableBytes {
                try unsafe file.read(fromAbsoluteOffset: Int64(address.rawValue), into: $0)
            }
            return Array(bytes.prefix(found))
        }
    }

    func write(_ bytes: [UInt8], at address: RemoteAddress) throws {
        let file = try FileDescriptor.open(path, .readWrite, options: .closeOnExec)
        try file.closeAfter {
            _ = try file.writeAll(toAbsoluteOffset: Int64(address.rawValue), bytes)
        }
    }
}
