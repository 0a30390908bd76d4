import Addresses
import SystemPackage

/// Why an ELF object cannot be read. Each case names the object and carries what
/// was found.
public enum ELFError: Error, Equatable, Sendable {
    /// The kernel refuses to open or read `name`.
    case system(name: String, action: String, errno: Errno)
    /// A directory, a pipe or a device.
    case notARegularFile(name: String)
    /// The first bytes are not 7f 45 4c 46.
    case notELF(name: String, found: [UInt8])
    /// An ELF object for another kind of machine: `field` (class, byte order,
    /// machine, type) is `found` where only `wanted` can be patched.
    case foreign(name: String, field: String, found: UInt64, wanted: String)
    /// `part`, a section or table, reaches past the end of the file.
    case truncated(
        name: String, part: String, offset: FileOffset, size: UInt64, fileSize: UInt64)
    /// `part` breaks a rule of the format; `value` is what stands there.
    case malformed(name: String, part: String, rule: String, value: UInt64)
    /// Bytes at link addresses of which the file holds none.
    case notInFile(name: String, range: AddressRange<LinkAddress>)
    /// libelf refuses the headers.
    case headers(name: String, message: String)

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .system: "elf.system"
        case .notARegularFile: "elf.not-a-file"
        case .notELF: "elf.not-elf"
        case .foreign: "elf.foreign"
        case .truncated: "elf.truncated"
        case .malformed: "elf.malformed"
        case .notInFile: "elf.not-in-file"
        case .headers: "elf.headers"
        }
    }
}

extension ELFError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .system(let name, let action, let errno):
            return "cannot \(action) '\(name)': \(errno)"
        case .notARegularFile(let name):
            return "cannot read '\(name)': it is not a regular file; name an ELF file"
        case .notELF(let name, let found):
            let bytes = found.isEmpty ? "nothing" : found.map(hexByte).joined(separator: " ")
            return "'\(name)' is not an ELF object: it starts with \(bytes), not 7f 45 4c 46"
        case .foreign(let name, let field, let found, let wanted):
            return "'\(name)' is for another kind of machine: its \(field) is \(found); "
                + "hotpatch needs \(wanted)"
        case .truncated(let name, let part, let offset, let size, let fileSize):
            return "'\(name)' is truncated: \(part) takes \(size) bytes from offset \(offset), "
                + "but the file has \(fileSize)"
        case .malformed(let name, let part, let rule, let value):
            return "'\(name)' is malformed: \(part): \(rule) (found 0x\(String(value, radix: 16)))"
        case .notInFile(let name, let range):
            return "'\(name)' holds no bytes for the addresses \(range)"
        case .headers(let name, let message):
            return "cannot read the ELF headers of '\(name)': \(message)"
        }
    }
}

func hexByte(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
}
