import Glibc
import JSONText
import SystemPackage

/// The log of everything that was done to processes and to the store.
///
/// A line is one write at the end of the file, so that lines of several tools never
/// mix. The file is opened for each, so logrotate(8) can move it away at any time.
public struct AuditLog: Sendable {
    let locations: Locations

    public init(_ locations: Locations) { self.locations = locations }

    /// Writes events to the log, each in one write, and to the journal where there is
    /// one.
    ///
    /// - Parameter syncing: whether to wait until they would outlast a loss of power.
    ///   Who writes many calls ``sync()`` at the end.
    public func append(_ events: [AuditEvent], syncing: Bool = true) throws(StoreError) {
        let journal = Journal(socket: locations.journal)
        for event in events { journal.send(event) }
        if events.isEmpty { return }
        try PatchStore(opening: locations).makeDirectories()
        let file = try open(O_RDWR | O_CREAT | O_APPEND)
        do throws(Errno) {
            for event in events { try file.append(line: event.json.text()) }
        } catch {
            throw .system(locations.audit, action: "write to", error)
        }
        if syncing { try sync() }
    }

    public func append(_ event: AuditEvent) throws(StoreError) { try append([event]) }

    /// Waits until all that was written would outlast a loss of power.
    public func sync() throws(StoreError) {
        let file = try open(O_RDONLY)
        guard fdatasync(file.rawValue) == 0 else {
            throw .system(locations.audit, action: "sync", Errno(rawValue: errno))
        }
        // The file may be new.
        try PatchStore(opening: locations).sync(directory: locations.state)
    }

    /// Opens the log, which nobody else can write to.
    func open(_ mode: Int32) throws(StoreError) -> OpenFile {
        let path = locations.audit
        let file: OpenFile
        do throws(Errno) {
            file = try OpenFile(path, mode | O_NONBLOCK, permissions: 0o600)
        } catch .tooManySymbolicLinkLevels {
            throw .untrusted(path, .symbolicLink)
        } catch {
            throw .system(path, action: "open", error)
        }
        do throws(TrustDefect) { try Trust(locations).check(file: file.rawValue) } catch {
            throw .untrusted(path, error)
        }
        return file
    }
}

extension OpenFile {
    /// Appends a line in one write. Where the last one was torn, as by a full disk,
    /// it begins on a line of its own.
    borrowing func append(line: String) throws(Errno) {
        var bytes = Array((line + "\n").utf8)
        let size = lseek(rawValue, 0, SEEK_END)
        var last: UInt8 = 0
        if size > 0, unsafe pread(rawValue, &last, 1, size - 1) == 1, last != UInt8(ascii: "\n") {
            bytes.insert(UInt8(ascii: "\n"), at: 0)
        }
        while true {
            let written = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(rawValue, buffer.baseAddress, buffer.count)
            }
            if written == bytes.count { return }
            if written < 0, errno == EINTR { continue }
            throw written < 0 ? Errno(rawValue: errno) : .noSpace
        }
    }
}
