import Addresses
import ELFImage
import PatchFile
import Patchability
import SystemPackage

/// Makes a patch from C sources.
public struct PatchBuilder {
    private let request: BuildRequest
    private let base: BaseObject
    private var warnings: [BuildWarning]

    /// Compiles the sources of `request`, checks all that can be checked without
    /// a process, and writes the patch. Compilers tell on standard error; nothing
    /// is left behind where it fails.
    public static func build(_ request: BuildRequest) throws(AuthoringError) -> BuildReport {
        var builder = try PatchBuilder(request)
        return try builder.run()
    }

    private init(_ request: BuildRequest) throws(AuthoringError) {
        self.request = request
        try RequestChecks(request).run()
        base = try BaseObject(path: request.base)
        warnings = base.warnings
    }

    private typealias Pair = ReplacementSearch.Pair

    private mutating func run() throws(AuthoringError) -> BuildReport {
        let folder = try TemporaryFolder()
        let compiler = try Compiler(
            command: request.compiler, userFlags: request.compilerFlags, folder: folder)
        let target = Compiler.Target(base)
        let compilation = try FixCompilation(
            request.sources, compiler: compiler, target: target, folder: folder,
            isWanted: { [base] in !base.functions(named: $0).isEmpty })
        let object = try readFile(compilation.object)
        let image: ELFImage
        do throws(ELFError) {
            image = try ELFImage.parse(bytes: object, name: request.output.string)
        } catch {
            throw AuthoringError.object(error)
        }
        let fix = try FixObject(image)
        let pairs = try replacements(in: compilation, fix)
        try checkPicks(
            used: Set(compilation.defined.map(\.name) + fix.references.map(\.name)))
        try checkDefinitions(fix, pairs)
        warnAboutNames(compilation, fix, pairs)
        let manifest = try manifest(pairs, fix)
        return try write(manifest, object)
    }

    private func write(
        _ manifest: PatchManifest, _ object: [UInt8]
    ) throws(AuthoringError) -> BuildReport {
        do throws(PatchFileError) {
            let (bytes, patch) = try PatchFile.make(
                object: object, manifest: manifest, name: request.output.string)
            try PatchFile.write(bytes, to: request.output)
            return BuildReport(output: request.output, patch: patch, warnings: warnings)
        } catch {
            throw AuthoringError.patch(error)
        }
    }

    // MARK: - What replaces what

    private func replacements(
        in compilation: FixCompilation, _ fix: FixObject
    ) throws(AuthoringError) -> [Pair] {
        var pairs: [Pair] = []
        let called = fix.calledOriginals
        let debug = DebugInformation(of: compilation.debugObject)
        for function in compilation.defined {
            let candidates = base.functions(named: function.name)
            let chosen = try SymbolChoice.choose(
                function.name, among: candidates.map(\.candidate),
                pick: request.picks[function.name], base: base.name)
            guard let chosen,
                let original = candidates.first(where: { $0.address == chosen.address })
            else { continue }
            pairs.append(
                Pair(
                    original: original, symbol: original.name, replacement: function.name,
                    callsOriginal: called.contains(function.name),
                    returns: debug.returns(of: function.name), isLocal: original.isLocal))
        }
        guard !pairs.isEmpty else {
            let names = compilation.defined.map(\.name)
            throw AuthoringError.noReplacement(
                base: base.name, defined: names,
                suggestions: names.map {
                    Suggestion(
                        name: $0,
                        similar: NameSuggestions.similar(to: $0, among: functionNames))
                })
        }
        let replaced = Set(pairs.map(\.replacement))
        if let name = called.first(where: { !replaced.contains($0) }) {
            throw AuthoringError.originalNotReplaced(
                name: name, base: base.name, isKnown: !base.functions(named: name).isEmpty)
        }
        return pairs.sorted { $0.original.address < $1.original.address }
    }

    /// What the fix adds under nearly a name of the base may be misspelt; not so
    /// where the fix replaces or uses the base's function as well.
    private mutating func warnAboutNames(
        _ compilation: FixCompilation, _ fix: FixObject, _ pairs: [Pair]
    ) {
        let replaced = Set(pairs.map(\.replacement))
        let known = replaced.union(fix.references.map(\.name))
        let others = functionNames.filter { !known.contains($0) }
        for name in compilation.defined.map(\.name) where !replaced.contains(name) {
            let similar = NameSuggestions.similar(to: name, among: others)
            if !similar.isEmpty {
                warnings.append(.similarName(Suggestion(name: name, similar: similar)))
            }
        }
    }

    /// A choice that nothing asked for is a mistake in its name.
    private func checkPicks(used: Set<String>) throws(AuthoringError) {
        for (name, pick) in request.picks.sorted(by: { $0.key < $1.key })
        where !used.contains(name) {
            throw AuthoringError.pickUnused(name: name, pick: pick)
        }
    }

    private var functionNames: [String] {
        base.symbolNames.filter { name in
            base.symbols(named: name).contains { $0.type == .function }
        }
    }

    private func checkDefinitions(
        _ fix: FixObject, _ pairs: [Pair]
    ) throws(AuthoringError) {
        for pair in pairs where fix.functions.count(where: { $0.name == pair.replacement }) > 1 {
            throw AuthoringError.definedTwice(name: pair.replacement)
        }
        for (one, next) in zip(pairs, pairs.dropFirst())
        where one.original.address == next.original.address {
            throw AuthoringError.oneFunction(
                names: [one.replacement, next.replacement], base: base.name)
        }
        for name in fix.callbacks {
            if fix.functions.count(where: { $0.name == name }) > 1 {
                throw AuthoringError.definedTwice(name: name)
            }
            if pairs.contains(where: { $0.replacement == name }) {
                throw AuthoringError.callback(
                    name: name, reason: "it replaces a function of the base")
            }
        }
        for definition in fix.definitions where definition.kind != .function {
            try checkData(definition)
        }
    }

    /// A variable of the base must not be there twice: the functions that are not
    /// replaced go on with the first. Constants of the fix may differ from those
    /// of the base; that is often the point.
    private func checkData(_ definition: FixObject.Definition) throws(AuthoringError) {
        let variable = VariableName(symbol: definition.name)
        guard definition.kind == .data || definition.isGlobal,
            !request.newData.contains(variable.name)
        else { return }
        for name in base.variables(like: variable) {
            let isSame = base.symbols(named: name).contains {
                [.object, .common, .threadLocal].contains($0.type)
                    && ($0.isWritten || definition.kind == .data)
            }
            if isSame {
                throw AuthoringError.dataInBase(
                    name: variable.name, inBase: name, base: base.name)
            }
        }
    }

    // MARK: - The manifest

    private mutating func manifest(
        _ pairs: [Pair], _ fix: FixObject
    ) throws(AuthoringError) -> PatchManifest {
        let libraries = try LinkedLibraries(
            of: base.image, path: base.path, searchFirst: request.libraryPaths)
        var resolver = ReferenceResolver(
            base: base, libraries: libraries, picks: request.picks)
        try resolver.resolve(fix.references)
        let functions = try replacedFunctions(pairs, fix)
        let registries = try Unwinders(base: base, libraries: libraries).registries(
            for: fix.image, replacing: functions.first?.symbol ?? "",
            accepted: request.acceptExceptions)
        return request.label.manifest(
            base: try base.manifestEntry(), functions: functions,
            baseSymbols: resolver.baseSymbols, imports: resolver.imports,
            runsOnce: RunsOnce(registries: registries, callbacks: fix.callbacks))
    }

    private mutating func replacedFunctions(
        _ pairs: [Pair], _ fix: FixObject
    ) throws(AuthoringError) -> [ReplacedFunction] {
        var search = try ReplacementSearch(
            pairs, in: base, fix: fix.image, acceptCopies: request.acceptCopies)
        let functions = try search.functions()
        warnings += search.warnings
        return functions
    }
}
