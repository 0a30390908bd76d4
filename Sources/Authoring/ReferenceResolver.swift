import Addresses
import ELFImage
import Glibc
import PatchFile
import SystemPackage

/// Finds out what the undefined symbols of a fix stand for: symbols of the base
/// first, local ones included, then what it takes from other objects.
struct ReferenceResolver {
    let base: BaseObject
    let libraries: LinkedLibraries
    let picks: [String: Pick]
    /// Whether names mean what a linker takes them for: global symbols first.
    let isLinking: Bool

    private(set) var baseSymbols: [BaseSymbol] = []
    private(set) var imports: [ImportedSymbol] = []
    private var unresolved: [String] = []

    init(
        base: BaseObject, libraries: LinkedLibraries, picks: [String: Pick] = [:],
        isLinking: Bool = false
    ) {
        self.base = base
        self.libraries = libraries
        self.picks = picks
        self.isLinking = isLinking
    }

    mutating func resolve(_ references: [FixObject.Reference]) throws(AuthoringError) {
        for reference in references
        where reference.name != PatchFile.globalOffsetTable
            && PatchFile.originalName(of: reference.name) == nil
        {
            try resolve(reference)
        }
        guard unresolved.isEmpty else {
            let known = Set(base.symbolNames).union(libraries.names)
            throw AuthoringError.unresolved(
                base: base.name,
                names: unresolved.map {
                    Suggestion(
                        name: $0, similar: NameSuggestions.similar(to: $0, among: known))
                }, missingLibraries: libraries.missing)
        }
    }

    private mutating func resolve(_ reference: FixObject.Reference) throws(AuthoringError) {
        if let entry = try baseSymbol(reference.name) {
            if isShared(entry) {
                imports.append(imported(entry, weak: reference.isWeak))
            } else {
                baseSymbols.append(
                    BaseSymbol(
                        name: reference.name, location: location(of: entry), size: entry.size))
            }
        } else if let symbol = importedSymbol(reference) {
            imports.append(symbol)
        } else {
            unresolved.append(reference.name)
        }
    }

    /// The one symbol of the base of that name; nil where there is none.
    private func baseSymbol(_ name: String) throws(AuthoringError) -> BaseObject.Entry? {
        var entries = base.symbols(meantBy: name)
        if isLinking, entries.contains(where: { !$0.isLocal }) {
            entries = entries.filter { !$0.isLocal }
        }
        let chosen = try SymbolChoice.choose(
            name, among: entries.map(\.candidate), pick: picks[name], base: base.name)
        return chosen.flatMap { candidate in
            entries.first { $0.value == candidate.address }
        }
    }

    /// Whether another object may have one that is used instead: a program has copies
    /// of the variables of its libraries that it uses itself (copy relocations), and
    /// the library reaches them through its GOT like all. Its functions are asked for
    /// by name where its own code does.
    private func isShared(_ entry: BaseObject.Entry) -> Bool {
        base.isInterposable(entry) && entry.type != .threadLocal
            && (isLinking || entry.type == .object)
    }

    private func imported(_ entry: BaseObject.Entry, weak: Bool) -> ImportedSymbol {
        ImportedSymbol(
            name: entry.name, version: entry.version,
            library: base.image.soname ?? base.path.lastComponent?.string,
            kind: kind(of: entry.type), weak: weak)
    }

    private func location(of entry: BaseObject.Entry) -> BaseSymbol.Location {
        switch entry.type {
        case .threadLocal: .threadLocal(offset: entry.value.rawValue)
        case .indirectFunction: .indirectFunction(entry.value)
        case .function: .function(entry.value)
        default: entry.isExecutable ? .function(entry.value) : .object(entry.value)
        }
    }

    private func importedSymbol(_ reference: FixObject.Reference) -> ImportedSymbol? {
        let name = reference.name
        // The version that the base itself uses, else the one that programs are
        // linked against.
        if let taken = base.importedSymbol(name) {
            let export = libraries.export(name, version: taken.version)
            if export != nil || taken.library == nil || !libraries.missing.isEmpty {
                return ImportedSymbol(
                    name: name, version: taken.version, library: export?.library ?? taken.library,
                    kind: kind(of: export?.type), weak: reference.isWeak)
            }
        }
        if let export = libraries.export(name) {
            return ImportedSymbol(
                name: name, version: export.version, library: export.library,
                kind: kind(of: export.type), weak: reference.isWeak)
        }
        guard reference.isWeak else { return nil }
        return ImportedSymbol(name: name, version: nil, library: nil, kind: .function, weak: true)
    }

    private func kind(of type: SymbolType?) -> ImportedSymbol.Kind {
        switch type {
        case .object?: .object
        case .threadLocal?: .threadLocal
        case .indirectFunction?: .indirectFunction
        default: .function
        }
    }
}

/// Chooses one of several symbols of the same name.
enum SymbolChoice {
    /// nil where there is none.
    static func choose(
        _ name: String, among candidates: [SymbolCandidate], pick: Pick?, base: String
    ) throws(AuthoringError) -> SymbolCandidate? {
        guard let pick else {
            guard candidates.count > 1 else { return candidates.first }
            throw AuthoringError.ambiguous(name: name, base: base, candidates: candidates)
        }
        let chosen = candidates.filter { candidate in
            switch pick {
            case .address(let address): candidate.address == address
            case .sourceFile(let file): candidate.sourceFile == file
            }
        }
        guard chosen.count == 1 else {
            throw AuthoringError.pickFails(name: name, pick: pick, candidates: candidates)
        }
        return chosen.first
    }
}

extension BaseObject.Entry {
    var candidate: SymbolCandidate {
        SymbolCandidate(
            name: name, address: value, sourceFile: sourceFile, isLocal: isLocal)
    }
}
