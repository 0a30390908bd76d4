import ELFImage

/// A function or variable of a patch that takes the place of nothing.
public struct AddedSymbol: Hashable, Sendable {
    public enum Kind: String, Sendable {
        case function
        case data
        /// Data that nothing writes to.
        case constant

        /// nil where `symbol`, defined in `section`, is neither code nor data.
        public init?(of symbol: Symbol, in section: Section) {
            switch symbol.type {
            case .function: self = .function
            case .object: self = section.isWritten ? .data : .constant
            default: return nil
            }
        }
    }

    public let name: String
    public let kind: Kind
    /// Bytes.
    public let size: UInt64
}

extension PatchFile {
    /// The symbol of the table of addresses by which `build` has the compiler
    /// keep functions. It is nobody's and not told of.
    public static let keptFunctions = "hotpatch_keep"
}

extension ObjectChecks {
    /// What the object defines beside the replacements, in the order of the names.
    var added: [AddedSymbol] {
        let replacements = Set(manifest.functions.map(\.replacement))
        return symbols.compactMap { symbol in
            guard case .section(let index) = symbol.section,
                let section = loadedSection(index),
                let kind = AddedSymbol.Kind(of: symbol, in: section),
                !replacements.contains(symbol.name), symbol.name != PatchFile.keptFunctions,
                !symbol.name.hasPrefix(PatchFile.callbackPointers)
            else { return nil }
            return AddedSymbol(name: symbol.name, kind: kind, size: symbol.size)
        }.sorted { $0.name < $1.name }
    }
}
