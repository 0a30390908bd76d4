import Addresses
import ELFImage
import PatchFile

/// The parts of a patch's relocatable object that go into a payload, with each
/// symbol's meaning in the process.
struct PatchObject {
    /// What a symbol of the object is.
    enum Meaning: Hashable {
        /// An offset in a section of the object.
        case own(section: Int, offset: UInt64)
        case absolute(UInt64)
        case bound(SymbolResolution)
        /// The original of the function of that number in the manifest: its moved
        /// entry.
        case original(Int)
    }

    /// A section that is loaded.
    struct Piece {
        let section: Section
        let bytes: ByteView
        let relocations: [Relocation]
    }

    let pieces: [Piece]
    /// By symbol index.
    let symbols: [(name: String, meaning: Meaning?)]
    /// The functions that the patch replaces, by where their replacements stand:
    /// their addresses in the base.
    private var replaced: [Meaning: RemoteAddress] = [:]

    /// - Parameter functions: those that the patch replaces, in an object that is
    ///   loaded with `bias`.
    init(
        _ preparation: PatchPreparation, functions: [ReplacedFunction], bias: LoadBias,
        bindings: [String: SymbolResolution]
    ) throws(LinkError) {
        var meanings = bindings.mapValues { Meaning.bound($0) }
        for (index, function) in functions.enumerated() where function.callsOriginal {
            meanings[PatchFile.originalSymbol(of: function.symbol)] = .original(index)
        }
        pieces = preparation.pieces
        symbols = preparation.symbols.map { symbol in
            (symbol.name, Self.meaning(of: symbol, undefined: meanings))
        }
        for function in functions {
            let name = function.replacement
            guard let (section, offset) = own(named: name) else { throw .unbound(symbol: name) }
            replaced[.own(section: section, offset: offset)] = bias.remote(function.range.start)
        }
    }

    /// What a relocation refers to, and the addend that goes with it.
    ///
    /// A function that the patch replaces is called where everybody calls it, at
    /// its address in the base: so the calls from within a patch reach a later
    /// patch that stands on top, and its address is one and the same for all.
    func reference(
        of relocation: Relocation, in section: Section
    ) throws(LinkError) -> (Meaning, addend: Int64) {
        let meaning = try meaning(of: Int(relocation.symbolIndex))
        guard case .own(let target, let offset) = meaning,
            let lead = Self.lead(of: relocation, in: section)
        else { return (meaning, relocation.addend) }
        // A local function may be told by its section and the offset in it.
        let place = Int64(bitPattern: offset) &+ relocation.addend &- lead
        let function = Meaning.own(section: target, offset: UInt64(bitPattern: place))
        guard let original = replaced[function] else { return (meaning, relocation.addend) }
        return (.bound(.near(original)), lead)
    }

    /// The addend of a reference to a function as such: a call, jump or lea counts
    /// from its end, four bytes behind the field's start. nil for what refers to
    /// places in code, as unwind and jump tables do.
    private static func lead(of relocation: Relocation, in section: Section) -> Int64? {
        switch PatchRelocation(rawValue: relocation.type.rawValue) {
        case .absolute64, .absolute32, .absolute32Signed: 0
        case .pc32, .plt32, .gotPCRelative, .gotPCRelativeRelaxable, .rexGOTPCRelativeRelaxable:
            section.isExecutable ? -4 : nil
        default: nil
        }
    }

    /// The symbol's meaning, or an error where it has none.
    func meaning(of index: Int) throws(LinkError) -> Meaning {
        guard symbols.indices.contains(index), let meaning = symbols[index].meaning else {
            throw .unbound(symbol: name(of: index))
        }
        return meaning
    }

    func name(of index: Int) -> String {
        symbols.indices.contains(index) ? symbols[index].name : "symbol \(index)"
    }

    /// The defined symbol of that name: the replacement of a function.
    func own(named name: String) -> (section: Int, offset: UInt64)? {
        for symbol in symbols where symbol.name == name {
            if case .own(let section, let offset)? = symbol.meaning { return (section, offset) }
        }
        return nil
    }

    static func pieces(of image: ELFImage) throws(ELFError) -> [Piece] {
        var relocations: [Int: [Relocation]] = [:]
        for section in image.sections where section.type == .relocationsWithAddends {
            let found = try image.relocations(in: section)
            relocations[Int(section.info), default: []] += found
        }
        var pieces: [Piece] = []
        for section in image.sections
        where section.flags.contains(.allocated) && section.type != .note && section.size > 0 {
            let bytes = section.type == .noBits ? ByteView.empty : try image.bytes(of: section)
            pieces.append(
                Piece(
                    section: section, bytes: bytes,
                    relocations: relocations[section.index] ?? []))
        }
        return pieces
    }

    static func symbols(of image: ELFImage) throws(ELFError) -> [Symbol] {
        guard let table = try image.symbolTable(.full) else { return [] }
        var symbols: [Symbol] = []
        for index in 0..<table.count { symbols.append(try table.symbol(index)) }
        return symbols
    }

    private static func meaning(
        of symbol: Symbol, undefined: [String: Meaning]
    ) -> Meaning? {
        switch symbol.section {
        case .section(let section): .own(section: section, offset: symbol.value.rawValue)
        case .absolute: .absolute(symbol.value.rawValue)
        case .undefined: undefined[symbol.name]
        default: nil
        }
    }
}
