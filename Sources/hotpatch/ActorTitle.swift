import Glibc
import HotpatchKit

extension AuditEvent.Actor {
    /// Who this is, for people: by name, as far as this machine knows one.
    var title: String {
        if let sudoUser { return sudoUser }
        let id = loginUserID ?? userID
        return Self.name(of: id) ?? "user \(id)"
    }

    private static func name(of id: UInt32) -> String? {
        var entry = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        // A name, a home and a shell: what is longer is shown as a number.
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { room in
            guard let start = room.baseAddress,
                unsafe getpwuid_r(id, &entry, start, room.count, &found) == 0,
                unsafe found != nil, let name = unsafe entry.pw_name
            else { return nil }
            return unsafe String(cString: name)
        }
    }
}
