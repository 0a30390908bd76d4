import CDecoder

/// A set of registers, each with all its parts: `al` and `rax` are one.
public struct RegisterSet: OptionSet, Hashable, Sendable {
    /// General registers in bits 0 to 15 by their number in the encoding, flags
    /// 16, x87 and MMX 17, system registers 18, k0–k7 24 to 31, vector registers
    /// 32 to 63.
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public init(_ register: Register) { rawValue = 1 << UInt64(register.number) }

    public static let flags = Self(rawValue: 1 << 16)
    public static let x87 = Self(rawValue: 1 << 17)
    public static let system = Self(rawValue: 1 << 18)
    public static let general = Self(rawValue: 0xffff)
    public static let masks = Self(rawValue: 0xff << 24)
    public static let vectors = Self(rawValue: 0xffff_ffff << 32)

    /// The members, in the order of their numbers.
    public var registers: [Register] {
        (0..<64).compactMap { rawValue >> UInt64($0) & 1 == 1 ? Register(number: $0) : nil }
    }
}

/// A register with all its parts, by its number in a ``RegisterSet``.
public struct Register: Hashable, Sendable, CustomStringConvertible {
    public let number: UInt8

    init(number: Int) { self.number = UInt8(number) }

    /// nil for what is no register: an absent base, or rip.
    init?(raw: UInt8) {
        guard raw < 64 else { return nil }
        number = raw
    }

    public static let rax = Self(number: 0)
    public static let rcx = Self(number: 1)
    public static let rdx = Self(number: 2)
    public static let rbx = Self(number: 3)
    public static let rsp = Self(number: 4)
    public static let rbp = Self(number: 5)
    public static let rsi = Self(number: 6)
    public static let rdi = Self(number: 7)
    /// r8 to r15.
    public static func r(_ number: Int) -> Self { Self(number: min(max(number, 8), 15)) }
    /// xmm0 to xmm31, with the wider registers of which they are the lower part.
    public static func xmm(_ number: Int) -> Self { Self(number: 32 + min(max(number, 0), 31)) }

    public var description: String {
        let names = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"]
        switch number {
        case 0..<8: return names[Int(number)]
        case 8..<16: return "r\(number)"
        case 16: return "eflags"
        case 17: return "x87"
        case 18: return "system"
        case 24..<32: return "k\(number - 24)"
        case 32...: return "xmm\(number - 32)"
        default: return "register \(number)"
        }
    }
}
