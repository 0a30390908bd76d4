import Glibc
import SystemPackage

/// The journal's socket, in the native protocol (systemd, JOURNAL_NATIVE_PROTOCOL).
/// Where there is none, or it does not take a record at once, nothing is sent: the
/// log in the state directory is the one that counts.
struct Journal {
    let socket: FilePath

    func send(_ event: AuditEvent) {
        let descriptor = Glibc.socket(
            AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(socket.string.utf8)
        let fits = unsafe withUnsafeMutableBytes(of: &address.sun_path) { place in
            guard path.count < place.count else { return false }
            unsafe place.copyBytes(from: path)
            return true
        }
        guard fits else { return }
        let record = Self.record(event)
        _ = unsafe withUnsafePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe record.withUnsafeBytes { bytes in
                    unsafe sendto(
                        descriptor, bytes.baseAddress, bytes.count,
                        Int32(MSG_DONTWAIT | MSG_NOSIGNAL), address,
                        socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }

    static func record(_ event: AuditEvent) -> [UInt8] {
        var bytes: [UInt8] = []
        // syslog(3): 4 is a warning, 6 is for information.
        add("PRIORITY", event.code == nil ? "6" : "4", to: &bytes)
        add("SYSLOG_IDENTIFIER", "hotpatch", to: &bytes)
        add("MESSAGE", event.sentence, to: &bytes)
        for (name, value) in event.facts { add("HOTPATCH_" + name, value, to: &bytes) }
        return bytes
    }

    /// With its length before it, a value may hold anything.
    private static func add(_ name: String, _ value: String, to bytes: inout [UInt8]) {
        let value = Array(value.utf8)
        bytes += Array(name.utf8) + [UInt8(ascii: "\n")]
        unsafe withUnsafeBytes(of: UInt64(value.count).littleEndian) { unsafe bytes += $0 }
        bytes += value + [UInt8(ascii: "\n")]
    }
}
