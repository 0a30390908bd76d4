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
    /// The functions that are to be called before any replacement, in their order
    /// (hotpatch.h).
    let callbacks: [String]

    init(_ image: ELFImage) throws(AuthoringError) {
        self.image = image
        try Self.checkSections(image)
        var definitions: [Definition] = []
        var references: [Reference] = []
        let symbols = try Self.symbols(of: image)
        for symbol in symbols {
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
        callbacks = try Self.callbacks(of: image, symbols)
    }

    /// Whether it keeps data beside the program's (hotpatch.h).
    var usesShadowData: Bool {
        references.contains { $0.name.hasPrefix(Compiler.shadowPrefix) }
    }

    private static func callbacks(
        of image: ELFImage, _ symbols: [Symbol]
    ) throws(AuthoringError) -> [String] {
        guard let home = image.section(named: PatchFile.callbackSection) else { return [] }
        var relocations: [Relocation] = []
        do throws(ELFError) {
            for section in image.sections
            where section.type == .relocationsWithAddends && Int(section.info) == home.index {
                relocations += try image.relocations(in: section)
            }
        } catch {
            throw AuthoringError.object(error)
        }
        var names: [String] = []
        for relocation in relocations.sorted(by: { $0.offset < $1.offset }) {
            let index = Int(relocation.symbolIndex)
            guard symbols.indices.contains(index) else { continue }
            let target = symbols[index]
            let place = Int64(bitPattern: target.value.rawValue) &+ relocation.addend
            let function = symbols.first {
                guard case .section = target.section else { return false }
                return $0.type == .function && $0.section == target.section
                    && Int64(bitPattern: $0.value.rawValue) == place
            }
            guard let function else {
                throw AuthoringError.callback(
                    name: target.name, reason: "the fix does not define it")
            }
            if !names.contains(function.name) { names.append(function.name) }
        }
        return names
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
