import Addresses
import CELF
import Glibc
import SystemPackage
import Threads

/// Where an object's bytes come from: a descriptor that is read with pread, or
/// memory. Sections are read when they are asked for, so that what nobody looks
/// at costs nothing.
struct ELFSource: ~Copyable, Sendable {
    private enum Origin: Sendable {
        case file(Int32)
        case memory(ByteView)
    }

    let name: String
    /// Bytes in the file when it was opened.
    let size: UInt64
    private let origin: Origin

    init(path: FilePath) throws(ELFError) {
        let name = path.string
        // O_NONBLOCK: a pipe of that name must not hold the tool up.
        let descriptor = unsafe path.withPlatformString { platform in
            unsafe Glibc.open(platform, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        }
        guard descriptor >= 0 else {
            throw .system(name: name, action: "open", errno: Errno(rawValue: errno))
        }
        try self.init(owning: descriptor, name: name)
    }

    init(duplicating descriptor: Int32, name: String) throws(ELFError) {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            throw .system(name: name, action: "open", errno: Errno(rawValue: errno))
        }
        try self.init(owning: copy, name: name)
    }

    private init(owning descriptor: Int32, name: String) throws(ELFError) {
        self.name = name
        origin = .file(descriptor)
        guard let status = Self.status(of: descriptor) else {
            let found = Errno(rawValue: errno)
            size = 0
            throw .system(name: name, action: "examine", errno: found)
        }
        size = UInt64(clamping: status.st_size)
        guard status.st_mode & S_IFMT == S_IFREG else { throw .notARegularFile(name: name) }
    }

    private static func status(of descriptor: Int32) -> stat? {
        var status = stat()
        return unsafe fstat(descriptor, &status) == 0 ? status : nil
    }

    init(bytes: ByteView, name: String) {
        self.name = name
        size = UInt64(bytes.count)
        origin = .memory(bytes)
    }

    deinit {
        if case .file(let descriptor) = origin { close(descriptor) }
    }

    /// The bytes of `part`. Out of the file's bounds is `truncated`, and so is a
    /// file that has shrunk since it was opened.
    func read(_ part: String, at offset: FileOffset, count: UInt64) throws(ELFError) -> ByteView {
        let start = offset.rawValue
        guard start <= size, count <= size - start, let length = Int(exactly: count),
            let position = Int(exactly: start)
        else {
            throw .truncated(name: name, part: part, offset: offset, size: count, fileSize: size)
        }
        switch origin {
        case .memory(let bytes):
            guard let slice = bytes.slice(position, length) else {
                throw .truncated(
                    name: name, part: part, offset: offset, size: count, fileSize: size)
            }
            return slice
        case .file(let descriptor):
            let storage = ByteView.Storage(count: length)
            try fill(storage, of: part, from: descriptor, at: offset)
            return ByteView(storage)
        }
    }

    /// What one thread reads at a time.
    private static let piece = 4 << 20

    private func fill(
        _ storage: ByteView.Storage, of part: String, from descriptor: Int32, at offset: FileOffset
    ) throws(ELFError) {
        let length = unsafe storage.memory.count
        let pieces = stride(from: 0, to: length, by: Self.piece).map { start in
            start..<min(start + Self.piece, length)
        }
        let failures = WorkerThreads.map(pieces) { piece -> FillFailure? in
            do throws(FillFailure) {
                try Self.fill(storage, piece, from: descriptor, at: offset)
                return nil
            } catch {
                return error
            }
        }
        guard let failure = failures.lazy.compactMap(\.self).first else { return }
        switch failure {
        case .system(let errno):
            throw .system(name: name, action: "read \(part) of", errno: errno)
        case .ends:
            // It has shrunk since it was opened.
            throw .truncated(
                name: name, part: part, offset: offset, size: UInt64(length),
                fileSize: Self.status(of: descriptor).map { UInt64(clamping: $0.st_size) }
                    ?? size)
        }
    }

    private enum FillFailure: Error {
        case system(Errno)
        case ends
    }

    /// Fills `piece` of the memory, which starts with what the file has at `offset`.
    private static func fill(
        _ storage: ByteView.Storage, _ piece: Range<Int>, from descriptor: Int32,
        at offset: FileOffset
    ) throws(FillFailure) {
        var done = piece.lowerBound
        while done < piece.upperBound {
            let rest = unsafe UnsafeMutableRawBufferPointer(
                rebasing: storage.memory[done..<piece.upperBound])
            let position = off_t(truncatingIfNeeded: offset.rawValue) + done
            let got = unsafe pread(descriptor, rest.baseAddress, rest.count, position)
            if got < 0 {
                if errno == EINTR { continue }
                throw .system(Errno(rawValue: errno))
            }
            guard got > 0 else { throw .ends }
            done += got
        }
    }

    /// Calls `body` with the object opened by libelf.
    func withLibELF<Result>(
        _ body: (OpaquePointer) throws(ELFError) -> Result
    ) throws(ELFError) -> Result {
        switch origin {
        case .file(let descriptor):
            var file: OpaquePointer?
            let status = unsafe celf_open(descriptor, &file)
            return try unsafe use(file, status, body)
        case .memory(let bytes):
            return try unsafe bytes.withUnsafeBytes { (buffer) throws(ELFError) -> Result in
                guard let base = buffer.baseAddress else {
                    throw .notELF(name: name, found: [])
                }
                var file: OpaquePointer?
                let status = unsafe celf_open_memory(base, buffer.count, &file)
                return try unsafe use(file, status, body)
            }
        }
    }

    private func use<Result>(
        _ file: OpaquePointer?, _ status: celf_status,
        _ body: (OpaquePointer) throws(ELFError) -> Result
    ) throws(ELFError) -> Result {
        guard let file = unsafe file else {
            if status == CELF_NOT_ELF {
                let found = try read(
                    "the identification", at: FileOffset(rawValue: 0), count: min(size, 4))
                throw .notELF(name: name, found: found.array())
            }
            throw .headers(name: name, message: unsafe String(cString: celf_message()))
        }
        defer { unsafe celf_close(file) }
        return try unsafe body(file)
    }
}
