/// Which separate debug file belongs to a stripped object (.gnu_debuglink; GDB
/// manual, "Debugging Information in Separate Files").
public struct DebugLink: Hashable, Sendable {
    /// A file name without directories.
    public let fileName: String
    /// The CRC-32 of the whole debug file.
    public let checksum: UInt32
}

extension ELFImage {
    /// The debug link, or nil where there is none.
    public func debugLink() throws(ELFError) -> DebugLink? {
        guard let section = section(named: ".gnu_debuglink") else { return nil }
        let bytes = try bytes(of: section)
        // The name, zeros up to a multiple of 4, the checksum.
        guard let fileName = bytes.cString(at: 0), let length = bytes.cStringLength(at: 0),
            let checksum = bytes.load((length + 1).roundedUp(to: 4), as: UInt32.self)
        else {
            throw .malformed(
                name: name, part: "section .gnu_debuglink", rule: "no name with a checksum",
                value: UInt64(bytes.count))
        }
        // A name with directories would lead a privileged tool anywhere.
        guard !fileName.isEmpty, !fileName.contains("/"), fileName != ".." else {
            throw .malformed(
                name: name, part: "section .gnu_debuglink", rule: "the name is not a file name",
                value: UInt64(length))
        }
        return DebugLink(fileName: fileName, checksum: checksum)
    }
}

/// The CRC-32 of ISO 3309, as zlib's, which .gnu_debuglink uses.
struct CRC32 {
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in
            value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1
        }
    }

    private var state: UInt32 = .max
    var value: UInt32 { ~state }

    mutating func update(_ view: ByteView) {
        state = unsafe view.withUnsafeBytes { bytes in
            unsafe Self.table.withUnsafeBufferPointer { table in
                unsafe bytes.reduce(state) { state, byte in
                    unsafe table[Int(truncatingIfNeeded: state & 0xff) ^ Int(byte)] ^ state >> 8
                }
            }
        }
    }
}
