import Glibc
import SystemPackage

extension FilePath {
    /// The bytes of a file, one of /proc included.
    public func bytes() throws -> [UInt8] {
        let file = try FileDescriptor.open(self, .readOnly, options: .closeOnExec)
        return try file.closeAfter { try file.contents() }
    }

    /// The lines of a text file.
    public func lines() throws -> [String] {
        String(decoding: try bytes(), as: UTF8.self)
            .split(separator: "\n").map(String.init)
    }

    /// Makes the file anew, with `bytes`.
    public func write(_ bytes: [UInt8], permissions: FilePermissions = [.ownerReadWrite]) throws {
        let file = try FileDescriptor.open(
            self, .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: permissions)
        try file.closeAfter { _ = try file.writeAll(bytes) }
    }

    /// Renames the file, over another if there is one.
    public func rename(to other: FilePath) throws {
        guard unsafe Glibc.rename(string, other.string) == 0 else { throw Errno(rawValue: errno) }
    }

    public func remove() throws {
        guard unsafe unlink(string) == 0 else { throw Errno(rawValue: errno) }
    }
}

/// Waits until `condition` holds, and fails where it does not within
/// ``ChildProcess/deadlineSeconds``.
public func wait(
    until what: String, _ condition: () throws -> Bool
) throws {
    let deadline = ContinuousClock.now + .seconds(ChildProcess.deadlineSeconds)
    while try !condition() {
        guard ContinuousClock.now < deadline else {
            throw TestSupportError("waited \(ChildProcess.deadlineSeconds) s in vain until \(what)")
        }
        // Leaves the processor to those that are waited for.
        usleep(1000)
    }
}
