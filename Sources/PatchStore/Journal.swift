import SystemPackage

/// The journal's socket, in the native protocol (systemd, JOURNAL_NATIVE_PROTOCOL).
/// Where there is none, or it does not take a record at once, nothing is sent: the
/// log in the state directory is the one that counts.
struct Journal {
    let socket: FilePath

    func send(_ event: AuditEvent) {
        LocalSocket(socket.string).send(Self.record(event))
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
