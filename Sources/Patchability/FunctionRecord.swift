import Addresses
import ELFImage

/// One function of an object: all that stands at one address.
public struct FunctionRecord: Hashable, Sendable {
    /// Its place in the catalog.
    public let index: Int
    /// From its entry to its end, without padding.
    public let range: AddressRange<LinkAddress>
    /// Whether a symbol or the unwind table gives its size. Otherwise it is taken
    /// to reach up to whatever comes next.
    public let sizeIsKnown: Bool
    /// Every name at this address, the one that people would use first. Empty
    /// where only the unwind table knows it.
    public let names: [FunctionName]
    public let kind: FunctionKind
    public let verdict: Verdict

    /// The first name.
    public var name: String? { names.first?.text }
    public var address: LinkAddress { range.start }

    /// The name for people: where there is none, one made of the address.
    public var displayName: String {
        name ?? "\(kind == .pltStub ? "plt" : "function")@\(range.start)"
    }
}

/// A name of a function and where it comes from.
public struct FunctionName: Hashable, Sendable {
    public enum Source: String, Hashable, Sendable {
        case symbolTable = "symtab"
        case dynamicSymbolTable = "dynsym"
        case debugFile = "debug-file"
        /// Made of the relocation that a PLT stub belongs to.
        case relocation
    }

    public let text: String
    public let source: Source
    public let binding: SymbolBinding
    /// The source file of a local symbol, where the object says so.
    public let sourceFile: String?
    public let version: SymbolVersion?
}

/// What a function is, beside its being one.
public enum FunctionKind: Hashable, Sendable {
    case ordinary
    /// A copy of a function that the compiler has specialised
    /// (`.constprop`, `.isra`, `.part`, `.lto_priv`).
    case clone(of: String)
    /// A part of a function that stands apart (`.cold`).
    case fragment(of: String?)
    case ifuncResolver
    case pltStub
    /// Known from the unwind table only.
    case unnamed

    /// A stable word.
    public var code: String {
        switch self {
        case .ordinary: "function"
        case .clone: "clone"
        case .fragment: "fragment"
        case .ifuncResolver: "ifunc"
        case .pltStub: "plt"
        case .unnamed: "unnamed"
        }
    }
}

/// The suffixes that compilers give to the copies and parts of a function.
public enum CloneSuffix {
    /// A part that stands apart (GCC `-freorder-blocks-and-partition`, Clang's
    /// hot-cold splitting).
    static let fragment = ".cold"
    /// Copies. `.lto_priv` is a local function that link-time optimisation has
    /// renamed.
    static let clones = [".constprop.", ".isra.", ".part.", ".lto_priv."]

    /// What `name` says of the function: an ordinary one, a clone or a fragment.
    public static func kind(of name: String) -> FunctionKind {
        if let base = base(of: name, before: fragment, isWhole: true) {
            return .fragment(of: base)
        }
        let bases = clones.compactMap { base(of: name, before: $0, isWhole: false) }
        return bases.min { $0.utf8.count < $1.utf8.count }.map { .clone(of: $0) } ?? .ordinary
    }

    /// What stands before `suffix`, where something does. A whole suffix ends the
    /// name or is followed by a dot.
    private static func base(
        of name: String, before suffix: String, isWhole: Bool
    ) -> String? {
        let bytes = Array(name.utf8)
        let wanted = Array(suffix.utf8)
        guard bytes.count > wanted.count else { return nil }
        for start in 1...bytes.count - wanted.count
        where bytes[start...].starts(with: wanted) {
            let end = start + wanted.count
            if isWhole && end < bytes.count && bytes[end] != UInt8(ascii: ".") { continue }
            return String(decoding: bytes[..<start], as: UTF8.self)
        }
        return nil
    }
}
