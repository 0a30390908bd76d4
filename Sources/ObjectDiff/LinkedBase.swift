import Addresses
import ELFImage
import Patchability

/// The linked object that was made of the objects before the change.
public protocol LinkedBase {
    /// For messages.
    var name: String { get }
    var image: ELFImage { get }
    var catalog: FunctionCatalog { get }

    /// Whether it has names for more than what others use of it; `strip` leaves no more.
    var hasOwnNames: Bool { get }

    /// What its symbols say of `name`, local ones included.
    func definitions(of name: String) -> [BaseDefinition]

    /// Whether the loader looks for that name in the whole process, though the base has
    /// it: the program or another library may have one that is used instead.
    func isInterposable(_ name: String) -> Bool

    /// Whether it takes `name` from another object.
    func imports(_ name: String) -> Bool
}

/// What something in a base without names of its own was found to be.
public struct FoundSymbol: Hashable, Sendable {
    public let name: String
    public let address: LinkAddress
    /// Bytes.
    public let size: UInt64
    public let isLocal: Bool
    /// The source file, of a local one.
    public let sourceFile: String?

    /// An object file with a symbol table of these functions and nothing else, as a
    /// separate debug file would have it.
    public static func file(of symbols: [FoundSymbol]) -> [UInt8] {
        ObjectWriter.symbolFile(symbols)
    }
}

/// One thing that a symbol of the base names.
public struct BaseDefinition: Hashable, Sendable {
    public enum Kind: Sendable {
        case function
        case object
        /// The address counts from the start of the thread-local segment.
        case threadLocal
    }

    public let address: LinkAddress
    public let kind: Kind
    /// Whether other objects can mean it by that name.
    public let isGlobal: Bool
    /// The source file of a local symbol, as far as the base tells.
    public let sourceFile: String?

    public init(address: LinkAddress, kind: Kind, isGlobal: Bool, sourceFile: String?) {
        self.address = address
        self.kind = kind
        self.isGlobal = isGlobal
        self.sourceFile = sourceFile
    }
}

/// What the loader puts into the words of the base that it relocates.
struct BaseWords {
    enum Word: Hashable {
        case address(LinkAddress)
        case symbol(String, addend: Int64)
        /// A distance of a variable of its own from the start of its thread-local block,
        /// or what the loader makes of that.
        case blockOffset(Int64)
        /// The number of a module, or something that depends on the processor.
        case other
    }

    private let words: [LinkAddress: Word]

    init(_ image: ELFImage) throws(ELFError) {
        var words: [LinkAddress: Word] = [:]
        let table = try image.symbolTable(.dynamic)
        func symbol(_ relocation: Relocation) -> Word {
            let name = table?.name(Int(relocation.symbolIndex)) ?? ""
            return .symbol(name, addend: relocation.addend)
        }
        for relocation in try image.dynamicRelocations() {
            switch relocation.type {
            case .relative:
                words[relocation.offset] = .address(
                    LinkAddress(rawValue: UInt64(bitPattern: relocation.addend)))
            case .globalData, .jumpSlot, .absolute64:
                words[relocation.offset] = symbol(relocation)
            case .blockOffset, .threadOffset, .threadDescriptor:
                words[relocation.offset] =
                    relocation.symbolIndex == 0
                    ? .blockOffset(relocation.addend) : symbol(relocation)
            default:
                words[relocation.offset] = .other
            }
        }
        self.words = words
    }

    subscript(address: LinkAddress) -> Word? { words[address] }
}

extension RelocationType {
    // psABI x86-64, table 4.9.
    /// R_X86_64_DTPOFF64
    fileprivate static let blockOffset = Self(rawValue: 17)
    /// R_X86_64_TPOFF64
    fileprivate static let threadOffset = Self(rawValue: 18)
    /// R_X86_64_TLSDESC
    fileprivate static let threadDescriptor = Self(rawValue: 36)
}
