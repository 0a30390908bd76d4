import Addresses
import ELFImage
import LiveProcess
import PatchFile

/// Finds what a patch's undefined symbols are in one process: those of the base
/// by their link addresses, the others among the exported symbols of what is
/// loaded, in the dynamic linker's order.
public struct SymbolResolver {
    /// An object of the process, opened.
    public struct Candidate {
        public let object: LoadedObject
        public let image: ELFImage

        public init(object: LoadedObject, image: ELFImage) {
            self.object = object
            self.image = image
        }
    }

    private let process: TargetProcess
    private let base: Candidate
    /// In the order of the link map.
    private let loaded: [Candidate]
    private let isProgram: Bool

    public init(
        process: TargetProcess, base: Candidate, isProgram: Bool, loaded: [Candidate]
    ) {
        self.process = process
        self.base = base
        self.isProgram = isProgram
        self.loaded = loaded
    }

    /// What each name of the manifest is.
    public func resolve(
        _ manifest: PatchManifest
    ) throws(LinkError) -> [String: SymbolResolution] {
        var resolutions: [String: SymbolResolution] = [:]
        for symbol in manifest.baseSymbols {
            resolutions[symbol.name] = try resolution(of: symbol)
        }
        let tables = try exports()
        for symbol in manifest.imports {
            resolutions[symbol.name] = try resolution(of: symbol, in: tables)
        }
        return resolutions
    }

    /// Where the unwinders take tables that the patch tells them of.
    public func registries(_ manifest: PatchManifest) throws(LinkError) -> [RemoteAddress] {
        if manifest.runsOnce.registries.isEmpty { return [] }
        let tables = try exports()
        return try manifest.runsOnce.registries.map { registry throws(LinkError) in
            switch registry {
            case .base(let address): return base.object.bias.remote(address)
            case .imported(let symbol):
                guard case .far(let address, _) = try resolution(of: symbol, in: tables) else {
                    throw .unresolved(
                        symbol: symbol.name, version: symbol.version, library: symbol.library)
                }
                return address
            }
        }
    }

    /// The exported symbols of what is loaded, in the order in which they are looked up.
    private func exports() throws(LinkError) -> [(Candidate, SymbolTable?)] {
        try scope().map { candidate throws(LinkError) in
            (candidate, try Self.dynamicSymbols(of: candidate.image))
        }
    }

    private func resolution(of symbol: BaseSymbol) throws(LinkError) -> SymbolResolution {
        let bias = base.object.bias
        switch symbol.location {
        case .function(let address), .object(let address): return .near(bias.remote(address))
        case .indirectFunction(let resolver): return .indirect(resolver: bias.remote(resolver))
        case .threadLocal(let offset):
            guard let binding = try threadLocal(offset: offset) else {
                throw .unsuitable(
                    relocation: "a thread-local reference", symbol: symbol.name,
                    reason: "the base's thread-local segment has an alignment that cannot "
                        + "be followed")
            }
            return .threadLocal(binding)
        }
    }

    private func threadLocal(offset: UInt64) throws(LinkError) -> ThreadLocalBinding? {
        guard let segment = base.image.tlsSegment else { return nil }
        if isProgram { return ThreadLocalStorage.ofProgram(segment, offset: offset) }
        do {
            return try ThreadLocalStorage.ofLibrary(base.image, offset: offset) { address in
                let place = base.object.bias.remote(address)
                guard let bytes = try? process.read(place, count: 8) else { return nil }
                return ByteView(bytes).load(0, as: UInt64.self)
            }
        } catch {
            throw .object(error)
        }
    }

    private static func dynamicSymbols(
        of image: ELFImage
    ) throws(LinkError) -> SymbolTable? {
        do {
            return try image.symbolTable(.dynamic)
        } catch {
            throw .object(error)
        }
    }

    /// The objects in which the base's references are looked up: what was loaded
    /// at start, then the base with its own dependencies (`dlopen(3)`,
    /// RTLD_LOCAL), then the rest.
    private func scope() -> [Candidate] {
        var indexes = Array(startUpObjects())
        indexes += dependencies(of: base).filter { !indexes.contains($0) }
        indexes += loaded.indices.filter { !indexes.contains($0) }
        return indexes.map { loaded[$0] }
    }

    /// The link map lists what was loaded at start before what came later: up to
    /// the last dependency of the program. Preloaded objects stand in between.
    private func startUpObjects() -> Range<Int> {
        guard let program = loaded.first else { return 0..<0 }
        return 0..<((dependencies(of: program).max() ?? 0) + 1)
    }

    /// The object and what it needs, breadth first, as indexes into `loaded`.
    private func dependencies(of root: Candidate) -> [Int] {
        guard let first = loaded.firstIndex(where: { $0.object.bias == root.object.bias }) else {
            return []
        }
        var found = [first]
        var next = 0
        while next < found.count {
            for name in loaded[found[next]].image.needed {
                guard let index = loaded.firstIndex(where: { $0.answers(to: name) }),
                    !found.contains(index)
                else { continue }
                found.append(index)
            }
            next += 1
        }
        return found
    }

    private func resolution(
        of symbol: ImportedSymbol, in tables: [(Candidate, SymbolTable?)]
    ) throws(LinkError) -> SymbolResolution {
        for (candidate, table) in tables {
            guard let table else { continue }
            for index in table.indexes(named: symbol.name) {
                guard let entry = table[index], !entry.isUndefined,
                    entry.binding != .local, entry.visibility != .hidden,
                    symbol.accepts(table.version(index))
                else { continue }
                return try resolution(of: symbol, as: entry, in: candidate)
            }
        }
        guard symbol.weak else {
            throw .unresolved(
                symbol: symbol.name, version: symbol.version, library: symbol.library)
        }
        return .absent
    }

    private func resolution(
        of symbol: ImportedSymbol, as entry: SymbolEntry, in candidate: Candidate
    ) throws(LinkError) -> SymbolResolution {
        let address = candidate.object.bias.remote(entry.value)
        switch entry.type {
        case .indirectFunction: return .indirect(resolver: address)
        case .threadLocal:
            throw .unsuitable(
                relocation: "a thread-local reference", symbol: symbol.name,
                reason: "it is a thread-local variable of \(candidate.object.path); only those "
                    + "of the base can be used")
        default:
            return .far(address, isFunction: symbol.kind != .object)
        }
    }
}

extension SymbolResolver.Candidate {
    /// Whether a DT_NEEDED entry of that name means this object.
    func answers(to name: String) -> Bool {
        image.soname == name || object.path == name || object.path.hasSuffix("/" + name)
    }
}

extension ImportedSymbol {
    /// Whether a definition of that version serves: the same version, or one
    /// without versions; where none was recorded, the default one.
    func accepts(_ found: SymbolVersion?) -> Bool {
        guard let found else { return true }
        guard let version else { return found.isDefault || found.library != nil }
        return found.name == version
    }
}
