import CLinuxTrace
import Glibc

/// One end of a pipe, closed when it is no longer used.
final class PipeEnd: Sendable {
    let descriptor: Int32

    private init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    /// A new pipe; children inherit neither end unless it becomes a stream of theirs.
    static func pair() throws -> (read: PipeEnd, write: PipeEnd) {
        var ends: [Int32] = [-1, -1]
        let result = unsafe clinux_pipe(&ends)
        guard result == 0 else {
            throw TestSupportError("cannot make a pipe: error \(-result)")
        }
        return (PipeEnd(ends[0]), PipeEnd(ends[1]))
    }

    /// What can be read, after waiting for something; nil at the end of the stream.
    func read(_ what: String) throws -> [UInt8]? {
        var waiter = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        var ready: Int32
        repeat {
            ready = unsafe poll(&waiter, 1, Int32(ChildProcess.deadlineSeconds) * 1000)
        } while ready < 0 && errno == EINTR
        guard ready > 0 else {
            throw TestSupportError("\(what): nothing in \(ChildProcess.deadlineSeconds) s")
        }
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = unsafe Glibc.read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return Array(bytes[..<count])
    }

    /// Writes everything, or throws where nobody reads any more.
    func write(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { buffer in
                unsafe Glibc.write(descriptor, buffer.baseAddress, buffer.count)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw TestSupportError("cannot write to the process: error \(errno)")
            }
            rest = rest.dropFirst(count)
        }
    }
}
