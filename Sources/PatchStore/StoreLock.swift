import Glibc
import SystemPackage

/// The right to change the store, which one process has at a time. The kernel lets go
/// of it when its holder dies.
struct StoreLock: ~Copyable {
    private let file: OpenFile

    /// Waits until it is free, at most for `timeout`.
    static func acquire(
        _ path: FilePath, timeout: Duration
    ) throws(StoreError) -> StoreLock {
        let file = try open(path)
        let clock = ContinuousClock()
        let start = clock.now
        while flock(file.rawValue, LOCK_EX | LOCK_NB) != 0 {
            let error = Errno(rawValue: errno)
            guard error == .wouldBlock || error == .interrupted else {
                throw .system(path, action: "lock", error)
            }
            guard clock.now - start < timeout else {
                throw .busy(path, holder: holder(of: file), waited: timeout)
            }
            usleep(10_000)
        }
        return StoreLock(file: file)
    }

    private init(file: consuming OpenFile) { self.file = file }

    private static func open(_ path: FilePath) throws(StoreError) -> OpenFile {
        do throws(Errno) {
            return try OpenFile(path, O_RDWR | O_CREAT, permissions: 0o600)
        } catch .tooManySymbolicLinkLevels {
            throw .untrusted(path, .symbolicLink)
        } catch {
            throw .system(path, action: "open", error)
        }
    }

    /// Who has it, as the kernel tells (proc_locks(5)): nil where that process is not
    /// to be seen from here, or the file system tells two numbers for one device.
    private static func holder(of file: borrowing OpenFile) -> LockHolder? {
        var facts = stat()
        guard unsafe fstat(file.rawValue, &facts) == 0,
            let locks = try? OpenFile("/proc/locks", O_RDONLY), let text = try? locks.text()
        else { return nil }
        func hexadecimal(_ value: UInt64) -> String {
            (value < 16 ? "0" : "") + String(value, radix: 16)
        }
        // As makedev(3) packs them.
        let device = UInt64(facts.st_dev)
        let major = device >> 8 & 0xfff | device >> 32 & ~0xfff
        let minor = device & 0xff | device >> 12 & ~0xff & 0xffff_ffff
        let place = hexadecimal(major) + ":" + hexadecimal(minor) + ":\(facts.st_ino)"
        for line in text.split(separator: "\n") {
            // 1: FLOCK  ADVISORY  WRITE 4711 00:1f:12345 0 EOF
            let words = line.split(separator: " ")
            guard words.count >= 6, words[1] == "FLOCK", words[5] == place,
                let pid = Int32(words[4]), pid > 0,
                let name = try? OpenFile(FilePath("/proc/\(pid)/cmdline"), O_RDONLY),
                let command = try? name.text()
            else { continue }
            let arguments = command.split(separator: "\0").joined(separator: " ")
            return LockHolder(pid: pid, command: arguments)
        }
        return nil
    }
}

extension OpenFile {
    /// All of a file of /proc, which has no size.
    borrowing func text() throws(Errno) -> String {
        var bytes: [UInt8] = []
        while true {
            let piece = try piece()
            if piece.isEmpty { return String(decoding: bytes, as: UTF8.self) }
            bytes += piece
        }
    }

    /// The next bytes; none at the end.
    borrowing func piece() throws(Errno) -> [UInt8] {
        while true {
            var failure: Errno?
            let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
                let result = unsafe read(rawValue, buffer.baseAddress, buffer.count)
                if result < 0 { failure = Errno(rawValue: errno) }
                count = max(0, result)
            }
            guard let failure else { return bytes }
            if failure != .interrupted { throw failure }
        }
    }
}
