import Addresses
import JSONText

/// What a patch says about itself: for which base it was made, which functions
/// it replaces and what its code refers to. Stored as JSON in the section
/// `.hotpatch.manifest` of a `.hpatch`.
public struct PatchManifest: Equatable, Sendable {
    /// The version of the format that this program writes and reads.
    public static let formatVersion: Int64 = 1

    /// What the patch is called by `status`, `revert` and the mappings in the
    /// target; ``isValidName(_:)`` holds.
    public var name: String
    /// The author's own version of the patch; may be empty.
    public var version: String
    /// One or more sentences for people; may be empty.
    public var description: String
    /// What the patch answers, such as CVE numbers.
    public var references: [String]
    /// The patch takes the place of every other patch of its base.
    public var isCumulative: Bool
    /// Patches of the same base that must be installed before this one.
    public var requires: [PatchRequirement]
    /// Names of patches of the same base whose place it takes.
    public var supersedes: [String]
    /// Later builds of the base that contain the fix, and need no patch for it.
    public var fixedIn: [BaseIdentity]
    public var base: Base
    /// At least one; no two overlap.
    public var functions: [ReplacedFunction]
    /// Undefined symbols of the object that the base defines, static ones included.
    public var baseSymbols: [BaseSymbol]
    /// Undefined symbols of the object that other objects of the process define.
    public var imports: [ImportedSymbol]
    /// What runs in the target before any replacement does.
    public var runsOnce: RunsOnce

    public init(
        name: String, version: String = "", description: String = "", references: [String] = [],
        isCumulative: Bool = false, requires: [PatchRequirement] = [],
        supersedes: [String] = [], fixedIn: [BaseIdentity] = [], base: Base,
        functions: [ReplacedFunction], baseSymbols: [BaseSymbol] = [],
        imports: [ImportedSymbol] = [], runsOnce: RunsOnce = RunsOnce()
    ) {
        self.name = name
        self.version = version
        self.description = description
        self.references = references
        self.isCumulative = isCumulative
        self.requires = requires
        self.supersedes = supersedes
        self.fixedIn = fixedIn
        self.base = base
        self.functions = functions
        self.baseSymbols = baseSymbols
        self.imports = imports
        self.runsOnce = runsOnce
    }

    /// A name is also part of file names and of the names of mappings: 1 to 64
    /// of `A–Z a–z 0–9 . _ + -`, the first a letter or a digit.
    public static func isValidName(_ name: String) -> Bool {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: false
            }
        }
        guard (1...64).contains(name.utf8.count), let first = name.utf8.first,
            isAlphanumeric(first)
        else { return false }
        return name.utf8.allSatisfy { isAlphanumeric($0) || "._+-".utf8.contains($0) }
    }
}

/// An earlier patch that another one counts on.
public struct PatchRequirement: Hashable, Sendable, CustomStringConvertible {
    public var name: String
    /// BLAKE2b-256 of the patch file, where it must be exactly that one.
    public var digest: [UInt8]?

    public init(name: String, digest: [UInt8]? = nil) {
        self.name = name
        self.digest = digest
    }

    /// Reads `NAME` or `NAME@DIGEST`, the digest in hexadecimal; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        guard let name = parts.first, PatchManifest.isValidName(String(name)) else { return nil }
        self.init(name: String(name))
        guard parts.count == 2 else { return }
        guard let bytes = Hexadecimal.bytes(String(parts[1])), bytes.count == 32 else { return nil }
        digest = bytes
    }

    public var description: String {
        digest.map { "\(name)@\(Hexadecimal.text($0))" } ?? name
    }
}

/// The ELF object that a patch changes.
public struct Base: Equatable, Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        case executable
        case positionIndependentExecutable
        case sharedObject
    }

    public var identity: BaseIdentity
    /// The last component of the path that the patch was built against: for
    /// messages, never for identification.
    public var fileName: String
    public var kind: Kind

    public init(identity: BaseIdentity, fileName: String, kind: Kind) {
        self.identity = identity
        self.fileName = fileName
        self.kind = kind
    }
}

/// By what a base is recognised.
public enum BaseIdentity: Hashable, Sendable, CustomStringConvertible {
    /// The descriptor of the object's `NT_GNU_BUILD_ID` note, 1 to 64 bytes.
    case buildID([UInt8])
    /// Where there is no build id: a BLAKE2b-256 digest of what the loader maps
    /// from the file.
    case contentDigest([UInt8])

    /// The build id as `file` and `readelf -n` print it, a digest with its kind before it.
    public var description: String {
        switch self {
        case .buildID(let bytes): Hexadecimal.text(bytes)
        case .contentDigest(let bytes): Self.digestPrefix + Hexadecimal.text(bytes)
        }
    }

    /// Reads what ``description`` writes; nil for anything else.
    public init?(_ text: String) {
        if text.hasPrefix(Self.digestPrefix) {
            let digits = String(text.dropFirst(Self.digestPrefix.count))
            guard let bytes = Hexadecimal.bytes(digits), bytes.count == 32 else { return nil }
            self = .contentDigest(bytes)
        } else {
            guard let bytes = Hexadecimal.bytes(text),
                (1...Self.longestBuildID).contains(bytes.count)
            else { return nil }
            self = .buildID(bytes)
        }
    }

    private static let digestPrefix = "blake2b:"
}

/// One function of the base and what takes its place.
public struct ReplacedFunction: Equatable, Sendable {
    /// The name in the base.
    public var symbol: String
    /// The source file of a static function (`STT_FILE`), where the base tells.
    public var sourceFile: String?
    /// The function's bytes in the base, without its fragments.
    public var range: AddressRange<LinkAddress>
    /// Parts that the compiler moved away from it (`.cold`): a thread in there
    /// is in the original too.
    public var fragments: [AddressRange<LinkAddress>]
    /// The first of the bytes that the detour overwrites; they may pass the
    /// range's end, into padding.
    public var site: LinkAddress
    /// Where the site has room for a `jmp rel8` only, the first of five bytes of
    /// padding that it leads to, for the `jmp rel32`.
    public var island: LinkAddress?
    /// All bytes of `range` as the file has them.
    public var original: [UInt8]
    /// The defined function symbol of the patch's object that replaces it.
    public var replacement: String
    /// What direct callers rely on beyond the psABI; nil where the detour may
    /// lead straight to the replacement.
    public var contract: EntryContract?
    /// Whether the patch's code refers to the original
    /// (``PatchFile/originalSymbol(of:)``), which can be called then.
    public var callsOriginal: Bool
    public var copies: RemainingCopies

    public init(
        symbol: String, sourceFile: String? = nil, range: AddressRange<LinkAddress>,
        fragments: [AddressRange<LinkAddress>] = [], site: LinkAddress,
        island: LinkAddress? = nil, original: [UInt8], replacement: String,
        contract: EntryContract? = nil, callsOriginal: Bool = false,
        copies: RemainingCopies = .none
    ) {
        self.symbol = symbol
        self.sourceFile = sourceFile
        self.range = range
        self.fragments = fragments
        self.site = site
        self.island = island
        self.original = original
        self.replacement = replacement
        self.contract = contract
        self.callsOriginal = callsOriginal
        self.copies = copies
    }
}

extension ReplacedFunction {
    /// Bytes of a `jmp rel32` (e9).
    static let jumpLength: UInt64 = 5
    /// Bytes of a `jmp rel8` (eb).
    static let shortJumpLength: UInt64 = 2

    /// How many bytes the detour overwrites at the site: 2 where it leads by way of
    /// an island, else 5.
    public var siteLength: UInt64 { island == nil ? Self.jumpLength : Self.shortJumpLength }

    /// The bytes at the site that the detour overwrites; nil where they would pass
    /// the end of the address space, which no patch that was read does.
    public var siteRange: AddressRange<LinkAddress>? {
        AddressRange(start: site, count: siteLength)
    }

    /// The five bytes of the island, where there is one; nil as for ``siteRange`` too.
    public var islandRange: AddressRange<LinkAddress>? {
        island.flatMap { AddressRange(start: $0, count: Self.jumpLength) }
    }
}

/// What the compiler promised the original's callers beyond the psABI, and the
/// replacement does not keep by itself (GCC's `-fipa-ra`). The detour then
/// leads through a thunk that keeps it.
public struct EntryContract: Equatable, Sendable {
    /// To be the same after the call as before it; in the order of
    /// ``KeptRegister/allCases``.
    public var preserve: [KeptRegister]
    /// The stack may be misaligned at the entry (rsp + 8 no multiple of 16) and
    /// must be aligned for the replacement.
    public var alignStack: Bool

    public init(preserve: [KeptRegister], alignStack: Bool) {
        self.preserve = preserve
        self.alignStack = alignStack
    }
}

/// A caller-saved register (psABI, figure 3.4) that a thunk can keep.
public enum KeptRegister: String, Sendable, CaseIterable {
    case rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
    case xmm0, xmm1, xmm2, xmm3, xmm4, xmm5, xmm6, xmm7
    case xmm8, xmm9, xmm10, xmm11, xmm12, xmm13, xmm14, xmm15
    /// The status flags of `rflags`.
    case flags
}

/// Machine code of the original that stays in use beside its detour.
public enum RemainingCopies: Equatable, Sendable {
    /// The base was searched and has none.
    case none
    /// These were found, and the author accepted them (`--accept-copies`).
    case accepted([RemainingCopy])
    /// The base has no debug information, so inlined copies cannot be told;
    /// the clones that its symbols show were accepted.
    case unknown(clones: [RemainingCopy])
}

/// One copy of an original.
public struct RemainingCopy: Equatable, Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        /// A function of its own, such as `parse.constprop.0`.
        case clone
        /// Inlined in another function.
        case inlined
    }

    public var kind: Kind
    /// The clone's name, or the function that the copy is inlined in.
    public var function: String
    public var address: LinkAddress
    /// Where the inlined call stands in the source, as far as the debug
    /// information tells.
    public var sourceFile: String?
    public var line: Int64?

    public init(
        kind: Kind, function: String, address: LinkAddress, sourceFile: String? = nil,
        line: Int64? = nil
    ) {
        self.kind = kind
        self.function = function
        self.address = address
        self.sourceFile = sourceFile
        self.line = line
    }
}

/// An undefined symbol of the patch's object that stands for something in the base.
public struct BaseSymbol: Equatable, Sendable {
    public enum Location: Equatable, Sendable {
        case function(LinkAddress)
        case object(LinkAddress)
        /// The resolver of an `STT_GNU_IFUNC`: what it returned is the function.
        case indirectFunction(LinkAddress)
        /// Bytes from the start of the base's thread-local segment (`PT_TLS`).
        case threadLocal(offset: UInt64)
    }

    public var name: String
    public var location: Location
    /// Zero where the base does not tell.
    public var size: UInt64

    public init(name: String, location: Location, size: UInt64) {
        self.name = name
        self.location = location
        self.size = size
    }
}

/// An undefined symbol of the patch's object that another object of the
/// process defines, to be looked up as the dynamic linker does.
public struct ImportedSymbol: Equatable, Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        case function
        case object
        case indirectFunction
        case threadLocal
    }

    public var name: String
    /// The symbol version to bind to, such as `GLIBC_2.34`; nil where the
    /// library has none.
    public var version: String?
    /// The soname of the library that defined it when the patch was built; nil
    /// only for a weak symbol that nothing defined.
    public var library: String?
    public var kind: Kind
    /// A reference that may stay undefined: its address is then zero.
    public var weak: Bool

    public init(name: String, version: String?, library: String?, kind: Kind, weak: Bool) {
        self.name = name
        self.version = version
        self.library = library
        self.kind = kind
        self.weak = weak
    }
}
