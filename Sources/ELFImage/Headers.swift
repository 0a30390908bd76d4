import Addresses
import CELF

/// A section header (gABI, "Section Header").
public struct Section: Hashable, Sendable {
    /// Its place in the section header table.
    public let index: Int
    public let name: String
    public let type: SectionType
    public let flags: SectionFlags
    /// Where it is loaded; zero where it is not loaded.
    public let address: LinkAddress
    public let offset: FileOffset
    /// Bytes in memory; in the file as well, but for ``SectionType/noBits``.
    public let size: UInt64
    /// `sh_link` and `sh_info`, of which the type gives the meaning.
    public let link: UInt32
    public let info: UInt32
    public let alignment: UInt64
    public let entrySize: UInt64

    /// The addresses that it occupies, or nil where it is not loaded or its
    /// header claims addresses past the end of the space.
    public var range: AddressRange<LinkAddress>? {
        flags.contains(.allocated) ? AddressRange(start: address, count: size) : nil
    }

    /// Whether it holds code that is loaded.
    public var isExecutable: Bool { flags.isSuperset(of: [.allocated, .executable]) }

    /// Whether the program itself changes what is in it: .data.rel.ro is writable
    /// for the loader only.
    public var isWritten: Bool { flags.contains(.writable) && !name.hasPrefix(".data.rel.ro") }
}

/// `sh_type`.
public struct SectionType: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let programBits = Self(rawValue: UInt32(SHT_PROGBITS))
    public static let symbolTable = Self(rawValue: UInt32(SHT_SYMTAB))
    public static let stringTable = Self(rawValue: UInt32(SHT_STRTAB))
    public static let relocationsWithAddends = Self(rawValue: UInt32(SHT_RELA))
    public static let relocations = Self(rawValue: UInt32(SHT_REL))
    /// Packed relative relocations (gABI proposal, `SHT_RELR`; not in the
    /// elf.h of older distributions).
    public static let relativeRelocations = Self(rawValue: 19)
    public static let dynamic = Self(rawValue: UInt32(SHT_DYNAMIC))
    public static let note = Self(rawValue: UInt32(SHT_NOTE))
    public static let hash = Self(rawValue: UInt32(SHT_HASH))
    public static let gnuHash = Self(rawValue: 0x6fff_fff6)
    public static let noBits = Self(rawValue: UInt32(SHT_NOBITS))
    public static let dynamicSymbols = Self(rawValue: UInt32(SHT_DYNSYM))
    public static let group = Self(rawValue: UInt32(SHT_GROUP))
    public static let extendedIndexes = Self(rawValue: UInt32(SHT_SYMTAB_SHNDX))
    public static let versionDefinitions = Self(rawValue: UInt32(SHT_GNU_verdef))
    public static let versionNeeds = Self(rawValue: UInt32(SHT_GNU_verneed))
    public static let versionIndexes = Self(rawValue: UInt32(SHT_GNU_versym))
    /// `SHT_X86_64_UNWIND`, as some linkers mark .eh_frame (psABI).
    public static let unwind = Self(rawValue: 0x7000_0001)
}

/// `sh_flags`.
public struct SectionFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let writable = Self(rawValue: UInt64(SHF_WRITE))
    public static let allocated = Self(rawValue: UInt64(SHF_ALLOC))
    public static let executable = Self(rawValue: UInt64(SHF_EXECINSTR))
    public static let mergeable = Self(rawValue: UInt64(SHF_MERGE))
    public static let strings = Self(rawValue: UInt64(SHF_STRINGS))
    public static let group = Self(rawValue: UInt64(SHF_GROUP))
    public static let threadLocal = Self(rawValue: UInt64(SHF_TLS))
    public static let compressed = Self(rawValue: UInt64(SHF_COMPRESSED))
}

/// A program header (gABI, "Program Header").
public struct Segment: Hashable, Sendable {
    public let type: SegmentType
    public let flags: SegmentFlags
    public let offset: FileOffset
    public let address: LinkAddress
    public let fileSize: UInt64
    public let memorySize: UInt64
    public let alignment: UInt64

    /// The addresses that it occupies, or nil where the header claims addresses
    /// past the end of the space.
    public var range: AddressRange<LinkAddress>? {
        AddressRange(start: address, count: memorySize)
    }

    /// The addresses of which the file holds the bytes.
    public var fileBackedRange: AddressRange<LinkAddress>? {
        AddressRange(start: address, count: min(fileSize, memorySize))
    }
}

/// `p_type`.
public struct SegmentType: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let load = Self(rawValue: UInt32(PT_LOAD))
    public static let dynamic = Self(rawValue: UInt32(PT_DYNAMIC))
    public static let interpreter = Self(rawValue: UInt32(PT_INTERP))
    public static let note = Self(rawValue: UInt32(PT_NOTE))
    public static let threadLocal = Self(rawValue: UInt32(PT_TLS))
    public static let unwindIndex = Self(rawValue: UInt32(PT_GNU_EH_FRAME))
    public static let stack = Self(rawValue: UInt32(PT_GNU_STACK))
    public static let relocatedReadOnly = Self(rawValue: UInt32(PT_GNU_RELRO))
    public static let property = Self(rawValue: UInt32(PT_GNU_PROPERTY))
}

/// `p_flags`.
public struct SegmentFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let executable = Self(rawValue: UInt32(PF_X))
    public static let writable = Self(rawValue: UInt32(PF_W))
    public static let readable = Self(rawValue: UInt32(PF_R))
}
