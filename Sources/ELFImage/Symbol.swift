import Addresses
import CELF

/// One entry of a symbol table, as it stands there (gABI, "Symbol Table").
public struct SymbolEntry: Hashable, Sendable {
    /// Where its name starts in the string table.
    public let nameOffset: UInt32
    public let info: UInt8
    public let other: UInt8
    /// `st_shndx`, extended indexes not resolved.
    public let rawSection: UInt16
    /// An address, or in a relocatable object an offset into the section.
    public let value: LinkAddress
    public let size: UInt64

    public var type: SymbolType { SymbolType(rawValue: info & 0xf) }
    public var binding: SymbolBinding { SymbolBinding(rawValue: info >> 4) }
    public var visibility: SymbolVisibility { SymbolVisibility(rawValue: other & 3) }
    /// Whether the object only refers to it.
    public var isUndefined: Bool { rawSection == 0 }
}

/// A symbol with all that belongs to it.
public struct Symbol: Hashable, Sendable {
    public let index: Int
    public let name: String
    /// An address; in a relocatable object an offset into the section, for a
    /// thread-local symbol an offset into the TLS segment.
    public let value: LinkAddress
    public let size: UInt64
    public let type: SymbolType
    public let binding: SymbolBinding
    public let visibility: SymbolVisibility
    public let section: SectionReference
    /// The version that a dynamic symbol is defined under or asks for.
    public let version: SymbolVersion?
    /// The source file of a local symbol: the STT_FILE symbol before it.
    public let sourceFile: String?
}

/// `st_shndx`, extended indexes resolved.
public enum SectionReference: Hashable, Sendable {
    case undefined
    case absolute
    case common
    case section(Int)
    /// One of the reserved values that Linux does not use.
    case reserved(UInt16)
}

/// The version of a dynamic symbol: `memcpy@GLIBC_2.2.5`, or `memcpy@@GLIBC_2.14`
/// for the one that is linked against.
public struct SymbolVersion: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    public let isDefault: Bool
    /// The soname of the library that an undefined symbol wants it from.
    public let library: String?

    public init(name: String, isDefault: Bool, library: String?) {
        self.name = name
        self.isDefault = isDefault
        self.library = library
    }

    public var description: String { (isDefault ? "@@" : "@") + name }
}

/// `STT_…`.
public struct SymbolType: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let none = Self(rawValue: UInt8(STT_NOTYPE))
    public static let object = Self(rawValue: UInt8(STT_OBJECT))
    public static let function = Self(rawValue: UInt8(STT_FUNC))
    public static let section = Self(rawValue: UInt8(STT_SECTION))
    public static let file = Self(rawValue: UInt8(STT_FILE))
    public static let common = Self(rawValue: UInt8(STT_COMMON))
    public static let threadLocal = Self(rawValue: UInt8(STT_TLS))
    /// A function that returns the function to be called (IFUNC).
    public static let indirectFunction = Self(rawValue: UInt8(STT_GNU_IFUNC))
}

/// `STB_…`.
public struct SymbolBinding: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let local = Self(rawValue: UInt8(STB_LOCAL))
    public static let global = Self(rawValue: UInt8(STB_GLOBAL))
    public static let weak = Self(rawValue: UInt8(STB_WEAK))
    public static let unique = Self(rawValue: UInt8(STB_GNU_UNIQUE))
}

/// `STV_…`.
public struct SymbolVisibility: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let normal = Self(rawValue: UInt8(STV_DEFAULT))
    public static let `internal` = Self(rawValue: UInt8(STV_INTERNAL))
    public static let hidden = Self(rawValue: UInt8(STV_HIDDEN))
    public static let protected = Self(rawValue: UInt8(STV_PROTECTED))
}
