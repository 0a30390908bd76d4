import CLinuxTrace
import Glibc
import SystemPackage

/// An open file descriptor, closed with its last reference.
package final class Descriptor: Sendable {
    package let rawValue: Int32

    /// O_PATH (open(2)), which needs _GNU_SOURCE: names a file without opening it.
    package static let pathOnly: Int32 = 0o10000000

    package init(rawValue: Int32) { self.rawValue = rawValue }
    deinit { close(rawValue) }

    /// Opens `path`, relative to a folder where one is given. Closed at exec.
    package static func open(
        _ path: String, in folder: Int32 = AT_FDCWD, _ mode: Int32 = O_RDONLY
    ) throws(Errno) -> Descriptor {
        while true {
            let descriptor = unsafe openat(folder, path, mode | O_CLOEXEC)
            if descriptor >= 0 { return Descriptor(rawValue: descriptor) }
            let error = errno
            if error != EINTR { throw Errno(rawValue: error) }
        }
    }

    /// The two ends of a new pipe, closed at exec. Throws what pipe2(2) answers.
    package static func pipe() throws(Errno) -> (outlet: Descriptor, inlet: Descriptor) {
        var ends: [Int32] = [-1, -1]
        let result = unsafe clinux_pipe(&ends)
        if result < 0 { throw Errno(rawValue: -result) }
        return (Descriptor(rawValue: ends[0]), Descriptor(rawValue: ends[1]))
    }

    /// What a symbolic link says, relative to a folder where one is given.
    package static func readLink(
        _ path: String, in folder: Int32 = AT_FDCWD
    ) throws(Errno) -> String {
        var failure: Errno?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, filled in
            let count = unsafe buffer.withMemoryRebound(to: CChar.self) { text in
                guard let base = text.baseAddress else { return 0 }
                return unsafe readlinkat(folder, path, base, text.count)
            }
            if count < 0 { failure = Errno(rawValue: errno) }
            filled = max(0, count)
        }
        if let failure { throw failure }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Device and inode of the file.
    package func identity() throws(Errno) -> FileIdentity {
        var facts = stat()
        guard unsafe fstat(rawValue, &facts) == 0 else { throw Errno(rawValue: errno) }
        return FileIdentity(facts)
    }

    /// Up to `count` bytes from `offset` on; fewer at the end of the file.
    func read(at offset: UInt64, count: Int) throws(Errno) -> [UInt8] {
        var failure: Errno?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let result = unsafe pread(
                    rawValue, buffer.baseAddress.map { unsafe $0 + filled }, count - filled,
                    off_t(truncatingIfNeeded: offset) &+ filled)
                if result < 0, errno == EINTR { continue }
                if result < 0 { failure = Errno(rawValue: errno) }
                if result <= 0 { break }
                filled += result
            }
        }
        // What could be read before the failure is an answer too.
        if let failure, bytes.isEmpty { throw failure }
        return bytes
    }

    /// Everything from the current position on. For procfs files, which have no size.
    package func readToEnd() throws(Errno) -> [UInt8] {
        var all: [UInt8] = []
        while true {
            var failure: Errno?
            let room = all.count < 4096 ? 4096 : 65536
            let more = unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, filled in
                let result = unsafe Glibc.read(rawValue, buffer.baseAddress, room)
                if result < 0 { failure = Errno(rawValue: errno) }
                filled = max(0, result)
            }
            if let failure {
                if failure == .interrupted { continue }
                throw failure
            }
            if more.isEmpty { return all }
            all += more
        }
    }
}

/// A file on this machine, whatever it is called.
public struct FileIdentity: Hashable, Sendable {
    /// As stat(2) gives it (st_dev).
    public let device: UInt64
    public let inode: UInt64

    package init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }

    /// Of what stat(2) answered.
    package init(_ facts: stat) {
        self.init(device: UInt64(facts.st_dev), inode: UInt64(facts.st_ino))
    }
}
