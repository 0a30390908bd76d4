import Addresses
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// The function that a patch replaces, as a running program has it in memory.
struct MappedFunction {
    private let memory: FilePath
    private let address: UInt64
    private let count: Int

    /// - Parameter patch: for a position-independent program that `victim` runs.
    init(_ patch: FilePath, in victim: Victim) throws {
        let range = try #require(try PatchFile.read(path: patch).manifest.functions.first).range
        let first = try #require(try ProcessFacts(victim).maps().first)
        // The program's first mapping has its link address 0.
        let bias = try #require(ProcessFacts.range(of: first)).start
        memory = FilePath("/proc/\(victim.pid)/mem")
        address = bias + range.start.rawValue
        count = Int(range.count)
    }

    func read() throws -> [UInt8] {
        let file = try FileDescriptor.open(memory, .readOnly, options: .closeOnExec)
        return try file.closeAfter {
            var bytes = [UInt8](repeating: 0, count: count)
            _ = try unsafe bytes.withUnsafeMutableBytes {
                try unsafe file.read(fromAbsoluteOffset: Int64(address), into: $0)
            }
            return bytes
        }
    }

    func write(_ bytes: [UInt8], at offset: Int) throws {
        let file = try FileDescriptor.open(memory, .readWrite, options: .closeOnExec)
        try file.closeAfter {
            _ = try file.writeAll(toAbsoluteOffset: Int64(address) + Int64(offset), bytes)
        }
    }
}
