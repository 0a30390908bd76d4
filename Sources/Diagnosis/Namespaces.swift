import Glibc
import SystemPackage

/// The kernel numbers its first namespaces itself (include/linux/proc_ns.h), the
/// mount namespace only since Linux 6.18: before, that of the first process is
/// taken for it.
extension NamespaceKind {
    static func user() -> NamespaceKind { of("user", firstNumber: 0xEFFF_FFFD) }
    static func pid() -> NamespaceKind { of("pid", firstNumber: 0xEFFF_FFFC) }

    static func mount() -> NamespaceKind {
        guard let own = number("/proc/self/ns/mnt") else { return .unknown }
        if own == 0xEFFF_FFF8 { return .initial }
        guard let first = number("/proc/1/ns/mnt") else { return .unknown }
        // The first process of a container is not the machine's.
        if pid() == .other { return .other }
        return own == first ? .initial : .other
    }

    private static func of(_ name: String, firstNumber: UInt64) -> NamespaceKind {
        guard let number = number("/proc/self/ns/\(name)") else { return .unknown }
        return number == firstNumber ? .initial : .other
    }

    private static func number(_ path: String) -> UInt64? {
        var facts = stat()
        return unsafe stat(path, &facts) == 0 ? UInt64(facts.st_ino) : nil
    }
}
