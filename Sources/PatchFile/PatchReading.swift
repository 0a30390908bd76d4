import Glibc
import SystemPackage

extension PatchFile {
    /// Reads and verifies the file at `path`. The bytes are read once, so what
    /// is verified is what is used, whoever writes to the file meanwhile.
    public static func read(path: FilePath) throws(PatchFileError) -> PatchFile {
        try PatchFile(bytes: contents(of: path), name: path.string)
    }

    /// The bytes of the file at `path`, which may be anything of the size of a patch.
    public static func contents(of path: FilePath) throws(PatchFileError) -> [UInt8] {
        let name = path.string
        let file = try orThrow(name, "open") {
            try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
        }
        return try closing(file, name) { () throws(PatchFileError) in
            try contents(of: file, name: name)
        }
    }

    /// The same of an open file, from its start on; `name` is for messages.
    public static func contents(
        of file: FileDescriptor, name: String
    ) throws(PatchFileError) -> [UInt8] {
        var status = stat()
        guard unsafe fstat(file.rawValue, &status) == 0 else {
            throw PatchFileError.system(name: name, action: "read", errno: Errno(rawValue: errno))
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw PatchFileError.notARegularFile(name: name)
        }
        let size = UInt64(clamping: status.st_size)
        guard size <= sizeLimit else {
            throw PatchFileError.tooLarge(name: name, size: size, limit: sizeLimit)
        }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        var filled = 0
        while filled < bytes.count {
            let count = try orThrow(name, "read") {
                try unsafe bytes.withUnsafeMutableBytes { buffer in
                    try unsafe file.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
                }
            }
            // Shorter than it was a moment ago: the ELF reader will say so.
            if count == 0 { break }
            filled += count
        }
        return Array(bytes[..<filled])
    }
}

/// Runs `body`, and says on which file a system call failed.
func orThrow<Result>(
    _ name: String, _ action: String, _ body: () throws -> Result
) throws(PatchFileError) -> Result {
    do {
        return try body()
    } catch {
        // swift-system throws nothing else.
        throw PatchFileError.system(
            name: name, action: action, errno: error as? Errno ?? .ioError)
    }
}

/// Runs `body` and closes `file` whatever comes of it; what closing reports
/// (a write that failed late) is an error like any other.
func closing<Result>(
    _ file: FileDescriptor, _ name: String, _ body: () throws(PatchFileError) -> Result
) throws(PatchFileError) -> Result {
    let result: Result
    do throws(PatchFileError) {
        result = try body()
    } catch {
        // The first error is the one to tell.
        _ = Glibc.close(file.rawValue)
        throw error
    }
    try orThrow(name, "close") { try file.close() }
    return result
}
