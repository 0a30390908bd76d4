import Glibc
import SystemPackage

extension TargetProcess {
    /// Gives a file in memory that the target has open its contents, from outside,
    /// and then seals it: neither the target nor anyone else can change it, grow
    /// it or shrink it any more. Private mappings of it can still be written.
    ///
    /// - Parameter file: what ``RemoteCalls/createMemoryFile(named:)`` returned.
    public func fill(
        _ file: RemoteDescriptor, with bytes: [UInt8]
    ) throws(LiveProcessError) {
        do throws(Errno) {
            let opened = try Descriptor.open(
                "fd/\(file.rawValue)", in: memberFolder.rawValue, O_RDWR)
            try opened.writeAll(bytes)
            // F_ADD_SEALS; F_SEAL_SEAL, SHRINK, GROW and WRITE (fcntl(2)).
            guard fcntl(opened.rawValue, 1033, 1 | 2 | 4 | 8) == 0 else {
                throw Errno(rawValue: errno)
            }
        } catch {
            throw failure(error, "fill descriptor \(file.rawValue) of")
        }
    }
}

extension Descriptor {
    /// Writes everything from the file's start on.
    fileprivate func writeAll(_ bytes: [UInt8]) throws(Errno) {
        var written = 0
        while written < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe pwrite(
                    rawValue, buffer.baseAddress.map { unsafe $0 + written },
                    buffer.count - written, off_t(written))
            }
            if count < 0, errno == EINTR { continue }
            if count <= 0 { throw count < 0 ? Errno(rawValue: errno) : .ioError }
            written += count
        }
    }
}
