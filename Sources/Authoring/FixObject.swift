import Addresses
import ELFImage
import PatchFile

/// The compiled fix: what it defines, and what it leaves for others to define.
struct FixObject {
    struct Definition {
        let name: String
        let size: UInt64
        let isGlobal: Bool
        let kind: AddedSymbol.Kind
    }

    struct Reference {
        let name: String
        /// May stay without a definition.
        let isWeak: Bool
    }

    let image: ELFImage
    /// Functions and variables, in the order of their names; without the parts
    /// and clones that the compiler made of functions.
    let definitions: [Definition]
    /// In the order of their names.
    let references: [Reference]

    init(_ image: ELFImage) throws(AuthoringError) {
        self.image = image
        try Self.checkSections(image)
        var definitions: [Definition] = []
        var references: [Reference] = []
        for symbol in try Self.symbols(of: image) {
            switch symbol.section {
            case .undefined where !symbol.name.isEmpty:
                references.append(Reference(name: symbol.name, isWeak: symbol.binding == .weak))
            case .section(let index):
                if let definition = try Self.definition(symbol, in: image, section: index) {
                    definitions.append(definition)
                }
            default: break
            }
        }
        self.definitions = definitions.sorted { $0.name < $1.name }
        self.references = references.sorted { $0.name < $1.name }
    }

    /// The functions whose originals it calls (hotpatch.h).
    var calledOriginals: [String] { references.compactMap { PatchFile.originalName(of: $0.name) } }

    var functions: [Definition] { definitions.filter { $0.kind == .function } }

    private static func symbols(of image: ELFImage) throws(AuthoringError) -> [Symbol] {
        do throws(ELFError) {
            guard let table = try image.symbolTable(.full) else { return [] }
            var symbols: [Symbol] = []
            for index in 0..<table.count { symbols.append(try table.symbol(index)) }
            return symbols
        } catch {
            throw AuthoringError.object(error)
        }
    }

    private static func checkSections(_ image: ELFImage) throws(AuthoringError) {
        let tables = [".init_array", ".fini_array", ".preinit_array", ".ctors", ".dtors"]
        for section in image.sections where section.flags.contains(.allocated) {
            if section.size > 0,
                tables.contains(where: { section.name == $0 || section.name.hasPrefix($0 + ".") })
            {
                throw AuthoringError.initialiser(section: section.name)
            }
        }
    }

    private static func definition(
        _ symbol: Symbol, in image: ELFImage, section index: Int
    ) throws(AuthoringError) -> Definition? {
        switch symbol.type {
        case .threadLocal: throw AuthoringError.threadLocal(name: symbol.name)
        case .indirectFunction: throw AuthoringError.indirectFunction(name: symbol.name)
        default: break
        }
        guard image.sections.indices.contains(index),
            let kind = AddedSymbol.Kind(of: symbol, in: image.sections[index])
        else { return nil }
        return Definition(
            name: symbol.name, size: symbol.size, isGlobal: symbol.binding != .local, kind: kind)
    }
}
