import Addresses
import Glibc
import SystemPackage

/// A file in memory that the target has open (memfd_create(2)).
public struct RemoteMemoryFile: Hashable, Sendable {
    public let descriptor: RemoteDescriptor
    /// What the kernel calls it: `/memfd:NAME (deleted)`.
    let linkText: String

    init(_ descriptor: RemoteDescriptor, name: String) {
        self.descriptor = descriptor
        linkText = "/memfd:\(name) (deleted)"
    }
}

/// A file in memory that a process has mapped, and has open no more.
public struct MappedMemoryFile: Sendable {
    /// Where its beginning is mapped: one mapping.
    let start: AddressRange<RemoteAddress>
    /// What the kernel calls it.
    let linkText: String

    init(start: AddressRange<RemoteAddress>, name: String) {
        self.start = start
        linkText = "/memfd:\(name) (deleted)"
    }
}

extension TargetProcess {
    /// Gives a file in memory that the target has open its contents, from outside,
    /// and then seals it: neither the target nor anyone else can change it, grow
    /// it or shrink it any more. Private mappings of it can still be written.
    ///
    /// The target runs meanwhile and may have closed the descriptor and opened
    /// something else under its number, by mistake or on purpose; opened from
    /// here, that would be written with the tool's rights. So nothing is written
    /// but to an empty file in memory of that name.
    public func fill(
        _ file: RemoteMemoryFile, with bytes: [UInt8]
    ) throws(LiveProcessError) {
        do throws(Errno) {
            try openVerified(file).fillAndSeal(with: bytes)
        } catch {
            throw failure(error, "fill descriptor \(file.descriptor.rawValue) of")
        }
    }

    /// The same of a file that a process has mapped whose only thread stands at its exec,
    /// and that nobody has written to yet: its pages show what the file gets.
    ///
    /// Takes the capability CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN (proc_pid_map_files(5)).
    public func fill(
        _ file: MappedMemoryFile, with bytes: [UInt8]
    ) throws(LiveProcessError) {
        let start = String(file.start.start.rawValue, radix: 16)
        let end = String(file.start.end.rawValue, radix: 16)
        do throws(Errno) {
            let opened = try Descriptor.open(
                "map_files/\(start)-\(end)", in: folder.rawValue, O_RDWR)
            guard try opened.linkText() == file.linkText else { throw .badFileDescriptor }
            try opened.requireEmptyMemoryFile()
            try opened.fillAndSeal(with: bytes)
        } catch {
            throw failure(error, "fill the file mapped at \(file.start.start) of")
        }
    }

    /// Whether the target still has the file open under the same number.
    func stillHas(_ file: RemoteMemoryFile) -> Bool {
        let place = "fd/\(file.descriptor.rawValue)"
        guard let held = try? Descriptor.open(place, in: memberFolder.rawValue, Descriptor.pathOnly)
        else {
            return false
        }
        return (try? held.linkText()) == file.linkText
    }

    /// The files in memory that the target has open and whose names start so.
    ///
    /// Throws `notPermitted` or `ended`.
    public func memoryFiles(
        namedWithPrefix prefix: String
    ) throws(LiveProcessError) -> [RemoteMemoryFile] {
        do throws(Errno) {
            var folder = try NumberedFolder(opening: "fd", in: memberFolder.rawValue)
            var files: [RemoteMemoryFile] = []
            // The folder's reader knows positive numbers only.
            for number in try [0] + folder.read() {
                // Closed since the listing.
                guard let link = try? folder.folder.readLink("\(number)"),
                    link.hasPrefix("/memfd:" + prefix), link.hasSuffix(" (deleted)")
                else { continue }
                files.append(
                    RemoteMemoryFile(
                        RemoteDescriptor(rawValue: number),
                        name: String(link.dropFirst("/memfd:".count).dropLast(" (deleted)".count))))
            }
            return files
        } catch {
            throw failure(error, "list the descriptors of")
        }
    }

    private func openVerified(_ file: RemoteMemoryFile) throws(Errno) -> Descriptor {
        // A descriptor that only names the file opens nothing of it, and holds on
        // to it while it is looked at.
        let place = "fd/\(file.descriptor.rawValue)"
        let held = try Descriptor.open(place, in: memberFolder.rawValue, Descriptor.pathOnly)
        guard try held.linkText() == file.linkText else { throw .badFileDescriptor }
        let opened = try Descriptor.open("/proc/self/fd/\(held.rawValue)", O_RDWR)
        try opened.requireEmptyMemoryFile()
        return opened
    }
}

extension Descriptor {
    /// What a symbolic link in this folder says.
    fileprivate func readLink(_ name: String) throws(Errno) -> String {
        try Descriptor.readLink(name, in: rawValue)
    }

    /// What the kernel calls the file behind it.
    fileprivate func linkText() throws(Errno) -> String {
        try Descriptor.readLink("/proc/self/fd/\(rawValue)")
    }

    /// Throws `badFileDescriptor` for anything but a file in memory that is empty and not
    /// sealed.
    fileprivate func requireEmptyMemoryFile() throws(Errno) {
        var facts = stat()
        guard unsafe fstat(rawValue, &facts) == 0 else { throw Errno(rawValue: errno) }
        // F_GET_SEALS: an error for anything that is no file in memory.
        guard facts.st_size == 0, fcntl(rawValue, 1034) == 0 else { throw .badFileDescriptor }
    }

    fileprivate func fillAndSeal(with bytes: [UInt8]) throws(Errno) {
        try writeAll(bytes)
        // F_ADD_SEALS; F_SEAL_SEAL, SHRINK, GROW and WRITE (fcntl(2)).
        guard fcntl(rawValue, 1033, 1 | 2 | 4 | 8) == 0 else { throw Errno(rawValue: errno) }
    }

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
