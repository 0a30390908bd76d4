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

    init(_ image: ELFImage, bindings: [String: SymbolResolution]) throws(LinkError) {
        do {
            pieces = try Self.pieces(of: image)
            symbols = try Self.symbols(of: image, bindings: bindings)
        } catch {
            throw .object(error)
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

    private static func pieces(of image: ELFImage) throws(ELFError) -> [Piece] {
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

    private static func symbols(
        of image: ELFImage, bindings: [String: SymbolResolution]
    ) throws(ELFError) -> [(name: String, meaning: Meaning?)] {
        guard let table = try image.symbolTable(.full) else { return [] }
        var symbols: [(name: String, meaning: Meaning?)] = []
        for index in 0..<table.count {
            let symbol = try table.symbol(index)
            let meaning: Meaning? =
                switch symbol.section {
                case .section(let section): .own(section: section, offset: symbol.value.rawValue)
                case .absolute: .absolute(symbol.value.rawValue)
                case .undefined: bindings[symbol.name].map { .bound($0) }
                default: nil
                }
            symbols.append((symbol.name, meaning))
        }
        return symbols
    }
}
