import Addresses
import ELFImage
import ObjectDiff
import PatchFile
import Patchability
import SystemPackage

/// The object that a patch is made for, with its names and its functions.
struct BaseObject {
    /// A defined symbol, from whichever table has it.
    struct Entry: Hashable {
        let name: String
        let value: LinkAddress
        let size: UInt64
        let type: SymbolType
        let isLocal: Bool
        let sourceFile: String?
        /// Whether it is in code, for labels without a type.
        let isExecutable: Bool
        /// Whether other objects of the process see it, and may have one in its place.
        let isExported: Bool
        /// Whether it is exported and another object may take its place
        /// (visibility `default`).
        let isDefault: Bool
        /// The version of an exported symbol.
        let version: String?
        /// Whether its section is changed by the program.
        let isWritten: Bool
    }

    /// A symbol that the base takes from elsewhere.
    struct Import: Hashable {
        let version: String?
        let library: String?
    }

    let path: FilePath
    let image: ELFImage
    /// The separate debug file, where there is one.
    let debugImage: ELFImage?
    /// Whether it has the names of its functions, itself or in its debug file, and not
    /// only those that were found out.
    let hasOwnNames: Bool
    let catalog: FunctionCatalog
    let warnings: [BuildWarning]
    private let entries: [String: [Entry]]
    private let sortedNames: [String]
    private let imports: [String: Import]

    var name: String { path.string }

    /// - Parameter needsNames: whether one without the names of its functions is refused.
    init(path: FilePath, needsNames: Bool = true) throws(AuthoringError) {
        self.path = path
        let reader: SymbolReader
        do throws(ELFError) {
            image = try ELFImage.open(path: path)
            let search = try DebugFiles.locate(for: image, path: path)
            debugImage = search.found
            warnings = search.rejected.map { .debugFileRejected($0.description) }
            reader = try SymbolReader(image: image, debugImage: debugImage)
        } catch {
            throw AuthoringError.base(error)
        }
        hasOwnNames = image.sections.contains { $0.type == .symbolTable } || debugImage != nil
        try Self.checkKind(image, path)
        entries = reader.entries
        imports = reader.imports
        sortedNames = reader.entries.keys.sorted()
        catalog = try Self.catalog(image, debugImage)
        guard needsNames else { return }
        guard entries.values.contains(where: { $0.contains { $0.type == .function } }) else {
            throw AuthoringError.noSymbols(base: path.string)
        }
    }

    /// The same with names that were found out for its functions.
    private init(_ base: BaseObject, named symbols: [FoundSymbol]) throws(AuthoringError) {
        path = base.path
        image = base.image
        hasOwnNames = false
        warnings = base.warnings
        let reader: SymbolReader
        do throws(ELFError) {
            let names = try ELFImage.parse(
                bytes: FoundSymbol.file(of: symbols), name: base.path.string)
            debugImage = names
            reader = try SymbolReader(image: image, debugImage: names)
        } catch {
            throw AuthoringError.base(error)
        }
        entries = reader.entries
        imports = reader.imports
        sortedNames = reader.entries.keys.sorted()
        catalog = try Self.catalog(image, debugImage)
    }

    func named(by symbols: [FoundSymbol]) throws(AuthoringError) -> BaseObject {
        try BaseObject(self, named: symbols)
    }

    /// The file with the debug information, if there is any.
    var debugPath: FilePath { debugImage.map { FilePath($0.name) } ?? path }

    var kind: Base.Kind {
        switch image.kind {
        case .executable: .executable
        case .positionIndependentExecutable: .positionIndependentExecutable
        default: .sharedObject
        }
    }

    /// The defined symbols of that name, one for each place, in the order of addresses.
    func symbols(named name: String) -> [Entry] { entries[name] ?? [] }

    /// What a source may mean by `name`: the symbols of that name, or where there
    /// is none those that link-time optimisation has renamed.
    func symbols(meantBy name: String) -> [Entry] {
        let exact = symbols(named: name)
        guard exact.isEmpty else { return exact }
        return names(from: name + ".lto_priv.").flatMap(symbols(named:))
    }

    /// The variable or constant that has a name and holds `address`.
    func dataName(at address: LinkAddress) -> String? {
        entries.values.lazy.flatMap(\.self).first { entry in
            entry.type == .object && entry.value <= address
                && address.rawValue - entry.value.rawValue < max(entry.size, 1)
        }?.name
    }

    /// What the base itself takes under that name from other objects.
    func importedSymbol(_ name: String) -> Import? { imports[name] }

    /// The names of everything that is defined.
    var symbolNames: some Sequence<String> { entries.keys }

    /// The defined names that start with `prefix`, in order.
    func names(from prefix: String) -> [String] {
        let first = sortedNames.partitioningIndex { $0 < prefix }
        return Array(sortedNames[first...].prefix { $0.hasPrefix(prefix) })
    }

    private static func catalog(
        _ image: ELFImage, _ debugImage: ELFImage?
    ) throws(AuthoringError) -> FunctionCatalog {
        do throws(CatalogError) {
            return try FunctionCatalog(image, debugImage: debugImage)
        } catch {
            throw failure(error, image)
        }
    }

    /// What a manifest says of it.
    func manifestEntry() throws(AuthoringError) -> Base {
        do throws(ELFError) {
            return Base(
                identity: try BaseIdentity(of: image),
                fileName: path.lastComponent?.string ?? name, kind: kind)
        } catch {
            throw AuthoringError.base(error)
        }
    }

    /// Which of its functions can be called when they are replaced.
    func originalCalls() throws(AuthoringError) -> OriginalCalls {
        do throws(CatalogError) {
            return try OriginalCalls(catalog)
        } catch {
            throw Self.failure(error, image)
        }
    }

    private static func failure(_ error: CatalogError, _ image: ELFImage) -> AuthoringError {
        if case .elf(let error) = error { return .base(error) }
        return .baseKind(base: image.name, reason: "\(error)")
    }

    private static func checkKind(_ image: ELFImage, _ path: FilePath) throws(AuthoringError) {
        if image.isSeparateDebugFile {
            throw AuthoringError.baseKind(
                base: path.string,
                reason: "it is a separate debug file; name the program or library itself")
        }
        if image.kind == .relocatable {
            throw AuthoringError.baseKind(
                base: path.string,
                reason: "it is an object that is not linked yet; name the program or library "
                    + "that it becomes part of")
        }
    }
}

/// Collects symbols from the tables that an object has.
private struct SymbolReader {
    private(set) var entries: [String: [BaseObject.Entry]] = [:]
    private(set) var imports: [String: BaseObject.Import] = [:]
    private let image: ELFImage

    init(image: ELFImage, debugImage: ELFImage?) throws(ELFError) {
        self.image = image
        // The dynamic table first: it says what is exported.
        if let table = try image.symbolTable(.dynamic) { try read(table) }
        if let table = try image.symbolTable(.full) {
            try read(table)
        } else if let table = try debugImage?.symbolTable(.full) {
            try read(table)
        }
        for name in entries.keys {
            entries[name]?.sort { ($0.value, $0.size) < ($1.value, $1.size) }
        }
    }

    private mutating func read(_ table: SymbolTable) throws(ELFError) {
        for index in 1..<max(1, table.count) {
            guard let raw = table[index], raw.type != .section, raw.type != .file else { continue }
            let symbol = try table.symbol(index)
            guard !symbol.name.isEmpty else { continue }
            if symbol.section == .undefined {
                if table.kind == .dynamic {
                    imports[symbol.name] = BaseObject.Import(
                        version: symbol.version?.name, library: symbol.version?.library)
                }
            } else if let name = Self.linkName(of: symbol) {
                add(symbol, as: name, from: table)
            }
        }
    }

    /// The name that a source uses. Linkers write versions into the names of
    /// .symtab: `open@@V2` is what others link against, `open@V1` is not.
    private static func linkName(of symbol: Symbol) -> String? {
        if let version = symbol.version, !version.isDefault, version.library == nil { return nil }
        guard let at = symbol.name.utf8.firstIndex(of: UInt8(ascii: "@")) else {
            return symbol.name
        }
        let rest = symbol.name[at...]
        return rest.hasPrefix("@@") && at > symbol.name.startIndex
            ? String(symbol.name[..<at]) : nil
    }

    private mutating func add(_ symbol: Symbol, as name: String, from table: SymbolTable) {
        let section = symbol.type == .threadLocal ? nil : image.section(at: symbol.value)
        let entry = BaseObject.Entry(
            name: name, value: symbol.value, size: symbol.size, type: symbol.type,
            isLocal: symbol.binding == .local, sourceFile: symbol.sourceFile,
            isExecutable: section?.isExecutable ?? false,
            isExported: table.kind == .dynamic
                && [.normal, .protected].contains(symbol.visibility),
            isDefault: table.kind == .dynamic && symbol.visibility == .normal,
            version: symbol.version?.name,
            isWritten: symbol.type == .threadLocal || (section?.isWritten ?? false))
        // Both tables have the exported ones.
        let known = entries[name]?.contains {
            $0.value == entry.value && ($0.type == .threadLocal) == (entry.type == .threadLocal)
        }
        if known != true { entries[name, default: []].append(entry) }
    }
}
