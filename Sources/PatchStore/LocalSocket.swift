import Glibc

/// A socket of this machine that takes datagrams (unix(7)).
package struct LocalSocket: Sendable {
    private let name: String

    /// - Parameter name: its path; with '@' before it, that of an abstract socket.
    package init(_ name: String) { self.name = name }

    /// Sends one datagram. Where nobody listens, or it is not taken at once, nothing is
    /// sent.
    package func send(_ bytes: [UInt8]) {
        guard let (address, size) = address else { return }
        let kind = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = Glibc.socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        _ = unsafe withUnsafePointer(to: address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe bytes.withUnsafeBytes { bytes in
                    unsafe sendto(
                        descriptor, bytes.baseAddress, bytes.count,
                        Int32(MSG_DONTWAIT | MSG_NOSIGNAL), address, size)
                }
            }
        }
    }

    private var address: (sockaddr_un, socklen_t)? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var path = Array(name.utf8)
        let isAbstract = path.first == UInt8(ascii: "@")
        if isAbstract { path[0] = 0 }
        let fits = unsafe withUnsafeMutableBytes(of: &address.sun_path) { place in
            guard !path.isEmpty, path.count < place.count else { return false }
            unsafe place.copyBytes(from: path)
            return true
        }
        guard fits else { return nil }
        // An abstract name is as long as it is said to be, a path ends with its null byte.
        let size = MemoryLayout<sa_family_t>.size + path.count + (isAbstract ? 0 : 1)
        return (address, socklen_t(size))
    }
}
