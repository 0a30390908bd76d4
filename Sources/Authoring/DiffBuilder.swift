import Addresses
import ELFImage
import Glibc
import ObjectDiff
import PatchFile
import Patchability
import SystemPackage

/// What `diff` is asked for.
public struct DiffRequest: Sendable {
    /// The linked ELF object that the objects before the change went into.
    public var base: FilePath
    /// Compiled with -ffunction-sections -fdata-sections, otherwise as the base was.
    public var before: [FilePath]
    public var after: [FilePath]
    public var output: FilePath
    /// What the patch says of itself.
    public var label: PatchLabel
    /// Whether clones and inlined copies of a replaced function may stay.
    public var acceptCopies = false
    /// Whether the author knows that no exception passes through what is replaced, so
    /// that no unwinder is told of it.
    public var acceptExceptions = false
    /// Types that may have another layout after the change.
    public var acceptedLayouts: Set<String> = []
    /// Variables that a callback gives their new initial values.
    public var acceptedData: Set<String> = []
    /// Objects that the base has nothing of: callbacks, and what these need.
    public var with: [FilePath] = []
    /// Folders in which libraries are looked for first, as by LD_LIBRARY_PATH.
    public var libraryPaths: [FilePath] = []

    public init(base: FilePath, before: [FilePath], after: [FilePath], output: FilePath) {
        self.base = base
        self.before = before
        self.after = after
        self.output = output
        label = PatchLabel(for: output)
    }
}

/// Makes a patch from objects that were compiled before and after a change.
public struct DiffBuilder {
    private let request: DiffRequest
    private var base: BaseObject
    /// What the objects are called in messages, where they are those of a build: some
    /// may be parts of other programs than the base then.
    private let sources: [String]?
    private var warnings: [BuildWarning]
    /// Of the objects after the change.
    private var debug: [DebugInformation] = []

    /// Compares the objects of `request`, proves that the base runs those before, and
    /// writes the patch. Nothing is left behind where it fails.
    public static func build(_ request: DiffRequest) throws(AuthoringError) -> DiffReport {
        try build(request, sources: nil)
    }

    /// - Parameters:
    ///   - sources: of the objects of a build, what they were made of.
    ///   - changed: the lines that the change of the sources alters.
    static func build(
        _ request: DiffRequest, sources: [String]?, changed: ChangedLines? = nil
    ) throws(AuthoringError) -> DiffReport {
        let start = ContinuousClock.now
        var builder = try DiffBuilder(request, sources)
        var report = try builder.run()
        report.inlined =
            changed?.inlined(
                builder.debug, into: report.build.patch.manifest.functions.map(\.symbol)) ?? []
        report.duration = ContinuousClock.now - start
        return report
    }

    private init(_ request: DiffRequest, _ sources: [String]?) throws(AuthoringError) {
        self.request = request
        self.sources = sources
        try RequestChecks.checkOutput(
            request.output,
            inputs: [(request.base, "the base")]
                + (request.before + request.after + request.with)
                .map { ($0, "an object of the change") })
        base = try BaseObject(path: request.base, needsNames: false)
        warnings = base.warnings
    }

    private mutating func run() throws(AuthoringError) -> DiffReport {
        let folder = try TemporaryFolder()
        let added = try AddedObjects(request, base: base, folder: folder)
        let change: SourceChange
        do throws(ChangeError) {
            change = try SourceChange(
                try pairs() + added.pairs(), base: base, mayHaveOthers: sources != nil,
                acceptedLayouts: request.acceptedLayouts, acceptedData: request.acceptedData)
        } catch {
            throw AuthoringError.change(error)
        }
        if !base.hasOwnNames { base = try base.named(by: change.foundSymbols) }
        warnings += change.objectsWithoutTypes.map { .layoutsUnknown(object: $0) }
        warnings += change.changedTables.map { .changedTable($0) }
        let image: ELFImage
        do throws(ELFError) {
            image = try ELFImage.parse(bytes: change.object, name: request.output.string)
        } catch {
            throw AuthoringError.object(error)
        }
        let manifest = try manifest(change, image)
        do throws(PatchFileError) {
            let (bytes, patch) = try PatchFile.make(
                object: change.object, manifest: manifest, name: request.output.string)
            try PatchFile.write(bytes, to: request.output)
            return DiffReport(
                build: BuildReport(output: request.output, patch: patch, warnings: warnings),
                comparedFunctions: change.functionCount, movedLines: change.movedLineCount)
        } catch {
            throw AuthoringError.patch(error)
        }
    }

    private func pairs() throws(ChangeError) -> [ObjectPair] {
        func objects(_ paths: [FilePath]) throws(ChangeError) -> [CompiledObject] {
            var objects: [CompiledObject] = []
            for (index, path) in paths.enumerated() {
                objects.append(try CompiledObject(path: path, name: sources?[index]))
            }
            return objects
        }
        let before = try objects(request.before)
        let after = try objects(request.after)
        guard sources == nil else {
            return zip(before, after).map { ObjectPair(before: $0, after: $1) }
        }
        return try ObjectPair.pairs(before: before, after: after)
    }

    private mutating func manifest(
        _ change: SourceChange, _ image: ELFImage
    ) throws(AuthoringError) -> PatchManifest {
        let libraries = try LinkedLibraries(
            of: base.image, path: base.path, searchFirst: request.libraryPaths)
        var resolver = ReferenceResolver(base: base, libraries: libraries, isLinking: true)
        try resolver.resolve(
            change.externals.map { FixObject.Reference(name: $0.name, isWeak: $0.isWeak) })
        for symbol in resolver.imports where symbol.kind == .object {
            guard let function = change.direct[symbol.name] else { continue }
            throw AuthoringError.change(
                .farData(
                    function: function, name: symbol.name,
                    library: symbol.library ?? "a library"))
        }
        let own = change.bindings.map {
            BaseSymbol(name: $0.name, location: $0.definition.location, size: $0.size)
        }
        let functions = try functions(change, image)
        let registries = try Unwinders(base: base, libraries: libraries).registries(
            for: image, replacing: functions.first?.symbol ?? "",
            accepted: request.acceptExceptions)
        return request.label.manifest(
            base: try base.manifestEntry(), functions: functions,
            baseSymbols: own + resolver.baseSymbols, imports: resolver.imports,
            runsOnce: RunsOnce(registries: registries, callbacks: change.callbacks))
    }

    private mutating func functions(
        _ change: SourceChange, _ image: ELFImage
    ) throws(AuthoringError) -> [ReplacedFunction] {
        debug = request.after.map { DebugInformation(of: $0) }
        var pairs: [ReplacementSearch.Pair] = []
        for replacement in change.replacements {
            let symbol = replacement.symbol
            guard let original = base.function(at: replacement.address, symbol: symbol) else {
                throw AuthoringError.unpatchable(
                    function: symbol, base: base.name, .outsideCode(section: nil))
            }
            // A clone may return less than what it was made of.
            let told = debug.lazy.map { $0.returns(of: symbol) }.first { $0 != .unknown }
            pairs.append(
                ReplacementSearch.Pair(
                    original: original, symbol: symbol, replacement: replacement.replacement,
                    callsOriginal: false, returns: told ?? .unknown, isLocal: replacement.isLocal,
                    signature: replacement.signature))
        }
        var search = try ReplacementSearch(
            pairs, in: base, fix: image, acceptCopies: request.acceptCopies,
            compared: change.compared)
        let functions = try search.functions()
        warnings += search.warnings
        return functions
    }
}

/// What `diff` made.
public struct DiffReport: Sendable {
    public let build: BuildReport
    /// How many functions were compared, and how many of them have other line numbers
    /// only.
    public let comparedFunctions: Int
    public let movedLines: Int
    /// Altered functions that are inlined into replaced ones, where the change of the
    /// sources is known.
    public internal(set) var inlined: [InlinedChange] = []
    /// From the objects to the patch.
    public internal(set) var duration = Duration.zero
}

extension BaseObject: LinkedBase {
    func isInterposable(_ name: String) -> Bool {
        symbols(named: name).contains { isInterposable($0) }
    }

    /// A library that binds its own names (-Bsymbolic) asks nobody.
    func isInterposable(_ entry: Entry) -> Bool {
        let binds =
            image.dynamicSection.value(DT_SYMBOLIC) != nil
            || (image.dynamicSection.value(DT_FLAGS) ?? 0) & UInt64(DF_SYMBOLIC) != 0
        return kind == .sharedObject && entry.isDefault && !binds
    }

    func imports(_ name: String) -> Bool { importedSymbol(name) != nil }

    func definitions(of name: String) -> [BaseDefinition] {
        symbols(named: name).map { entry in
            let kind: BaseDefinition.Kind =
                switch entry.type {
                case .threadLocal: .threadLocal
                case .function, .indirectFunction: .function
                default: entry.isExecutable ? .function : .object
                }
            return BaseDefinition(
                address: entry.value, kind: kind, isGlobal: !entry.isLocal,
                sourceFile: entry.isLocal ? entry.sourceFile : nil)
        }
    }
}

extension BaseDefinition {
    fileprivate var location: BaseSymbol.Location {
        switch kind {
        case .function: .function(address)
        case .object: .object(address)
        case .threadLocal: .threadLocal(offset: address.rawValue)
        }
    }
}
