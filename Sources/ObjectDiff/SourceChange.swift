import Addresses
import ELFImage
import Patchability
import SystemPackage

/// An object before and after a change.
public struct ObjectPair: Sendable {
    public let before: CompiledObject
    public let after: CompiledObject

    public init(before: CompiledObject, after: CompiledObject) {
        self.before = before
        self.after = after
    }

    /// Pairs objects by the names of their files, of as many folders as it takes.
    public static func pairs(
        before: [CompiledObject], after: [CompiledObject]
    ) throws(ChangeError) -> [ObjectPair] {
        if before.count == 1, after.count == 1 {
            return [ObjectPair(before: before[0], after: after[0])]
        }
        var rest = Set(before.indices)
        var chosen = [Int?](repeating: nil, count: after.count)
        let byName = Dictionary(grouping: before.indices) { before[$0].path.lastComponent }
        var likely = after.indices.flatMap { index in
            (byName[after[index].path.lastComponent] ?? []).map {
                (index, $0, before[$0].path.commonSuffix(with: after[index].path))
            }
        }
        likely.sort { ($0.2, $1.0, $1.1) > ($1.2, $0.0, $0.1) }
        for (index, candidate, shared) in likely
        where chosen[index] == nil && rest.contains(candidate) {
            let rivals = likely.filter { $0.0 == index && $0.2 == shared && rest.contains($0.1) }
            guard rivals.count == 1 else {
                throw .pairing(
                    after: after[index].name, reason: "several objects before have that name")
            }
            rest.remove(candidate)
            chosen[index] = candidate
        }
        if let left = rest.min() {
            throw .pairing(
                after: before[left].name, reason: "it is named before, and no object after is it")
        }
        var pairs: [ObjectPair] = []
        for (object, candidate) in zip(after, chosen) {
            guard let candidate else {
                throw .pairing(
                    after: object.name,
                    reason: "no object before has that name; name both alike, in two folders")
            }
            pairs.append(ObjectPair(before: before[candidate], after: object))
        }
        return pairs
    }
}

extension FilePath {
    fileprivate func commonSuffix(with other: FilePath) -> Int {
        zip(components.reversed(), other.components.reversed()).prefix { $0 == $1 }.count
    }
}

/// What a change comes to for one base: an object with all that is new, and what of
/// the base it takes the place of and refers to.
public struct SourceChange {
    /// A function of the base and what replaces it.
    public struct Replacement: Hashable, Sendable {
        /// The symbol in the base.
        public let symbol: String
        public let address: LinkAddress
        /// The symbol in ``SourceChange/object``.
        public let replacement: String
        /// Whether only its own object knows it.
        public let isLocal: Bool
        /// Where it is called in another way now, as far as the debug information tells.
        public let signature: SignatureChange?
    }

    /// What an undefined symbol of the object is in the base.
    public struct Binding: Hashable, Sendable {
        public let name: String
        public let definition: BaseDefinition
        /// Bytes; zero where that is not known.
        public let size: UInt64
    }

    /// A relocatable object that holds the new code and data.
    public let object: [UInt8]
    /// In the order of their addresses.
    public let replacements: [Replacement]
    /// Functions of the object that are called before any replacement, in their order.
    public let callbacks: [String]
    /// In the order of their names.
    public let bindings: [Binding]
    /// The names that other objects define, and whether they may stay undefined.
    public let externals: [(name: String, isWeak: Bool)]
    /// Those of them of which data must be in reach of the patch, and who refers to it.
    public let direct: [String: String]
    /// Functions of the base that were compared: what the change means for them is
    /// done.
    public let compared: Set<LinkAddress>
    /// What the functions of a base without names of its own are.
    public let foundSymbols: [FoundSymbol]
    /// The objects that change and have no debug information, so that nobody can tell
    /// whether structures have another layout.
    public let objectsWithoutTypes: [String]
    /// Tables of pointers that are others now: data that has their addresses goes on with
    /// the old ones.
    public let changedTables: [String]
    /// How many functions were compared, and how many of them have other line numbers
    /// only.
    public let functionCount: Int
    public let movedLineCount: Int

    /// Compares `pairs`, and finds everything in `base`.
    ///
    /// - Parameter mayHaveOthers: whether some of the objects may be parts of other
    ///   programs than the base; they are left out then.
    /// - Parameter acceptedLayouts: types that may have another layout, since no data of
    ///   them outlives the functions that are replaced, or a callback sees to it.
    /// - Parameter acceptedData: variables that a callback gives their new values.
    public init(
        _ pairs: [ObjectPair], base: any LinkedBase, mayHaveOthers: Bool = false,
        acceptedLayouts: Set<String> = [], acceptedData: Set<String> = []
    ) throws(ChangeError) {
        let decoder: InstructionDecoder
        let words: BaseWords
        do throws(DecoderUnavailable) {
            decoder = try InstructionDecoder()
        } catch {
            throw .decoder(error)
        }
        do throws(ELFError) {
            words = try BaseWords(base.image)
        } catch {
            throw .elf(error)
        }
        let nameless = base.hasOwnNames ? nil : NamelessBase(base)
        let all = pairs.map { pair in
            BaseLocator(
                pair.before, base: base, words: words, decoder: decoder, nameless: nameless)
        }
        if nameless != nil { NamelessBase.search(all) }
        var parts = zip(pairs, all).map { pair, locator in
            Part(
                comparison: ObjectComparison(pair.before, pair.after, decoder: decoder),
                locator: locator, counting: mayHaveOthers)
        }
        if mayHaveOthers { parts = try Self.ofBase(parts) }
        let comparisons = parts.map(\.comparison)
        let locators = parts.map(\.locator)
        for comparison in comparisons where comparison.hasChanges {
            try Self.checkLayouts(comparison, acceptedLayouts)
        }
        let changes = try ChangeSet(comparisons, acceptedData: acceptedData) { name in
            base.definitions(of: name).contains(where: \.isGlobal)
        }
        // The functions that change come first: what they refer to is found by them.
        var found: [(place: AtomPlace, origin: AtomPlace, address: LinkAddress)] = []
        for place in changes.replacements {
            for origin in changes.origins(of: place) {
                found.append(
                    (place, origin, try locators[origin.object].function(origin.section)))
            }
        }
        try Self.checkNewNames(changes, base)
        let assembly = try PatchAssembly(changes, locators, base: base)
        object = assembly.object
        let before = Dictionary(
            uniqueKeysWithValues: Set(found.map(\.origin.object)).map {
                ($0, Signatures(of: comparisons[$0].before.path))
            })
        let after = Dictionary(
            uniqueKeysWithValues: Set(found.map(\.place.object)).map {
                ($0, Signatures(of: comparisons[$0].after.path))
            })
        replacements = found.compactMap { place, origin, address in
            let symbol = comparisons[origin.object].before.atoms[origin.section]?.name ?? ""
            return assembly.symbol(of: place, likely: symbol).map { name in
                Replacement(
                    symbol: symbol, address: address, replacement: name,
                    isLocal: changes.atom(place)?.isGlobal == false,
                    signature: SignatureChange(
                        before[origin.object]?[symbol],
                        after[place.object]?[changes.atom(place)?.name ?? symbol]))
            }
        }.sorted { $0.address < $1.address }
        callbacks = assembly.callbacks
        bindings = assembly.bindings.map { Binding($0.key, $0.value) }
            .sorted { $0.name < $1.name }
        externals = assembly.externals.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }
        direct = assembly.direct.mapValues { changes.atom($0)?.name ?? "" }
        foundSymbols = nameless == nil ? [] : locators.flatMap(\.foundSymbols)
        compared = locators.reduce(into: []) { $0.formUnion($1.functions) }
        objectsWithoutTypes = comparisons.filter { comparison in
            comparison.hasChanges && !comparison.before.atoms.isEmpty
                && !(comparison.before.path.tellsTypes && comparison.after.path.tellsTypes)
        }.map(\.after.name)
        changedTables = changes.changedTables
        functionCount = changes.summary.functions
        movedLineCount = changes.summary.movedLines
    }

    /// One object, and where the base has it.
    private struct Part {
        let comparison: ObjectComparison
        let locator: BaseLocator

        /// How many functions of the object the base has.
        let likeness: Int
        /// The names that no other object of one program defines.
        let definitions: Set<String>

        init(comparison: ObjectComparison, locator: BaseLocator, counting: Bool) {
            self.comparison = comparison
            self.locator = locator
            likeness = counting ? locator.functions.count : 0
            definitions = Set(
                comparison.before.atoms.values.flatMap(\.labels)
                    .filter { $0.binding == .global }.map(\.name))
        }

        /// Whether every function that changed is in the base as it was before.
        func check() throws(ChangeError) {
            for (section, atom) in comparison.after.atoms.sorted(by: { $0.key < $1.key })
            where atom.kind == .code && !atom.isFragment {
                guard let old = comparison.correlation.before[section],
                    case .differs = comparison.verdict(ofCode: section)
                else { continue }
                _ = try locator.function(old)
            }
        }
    }

    /// Leaves out the objects of which the base has nothing, and those that it has
    /// compiled in another way: some sources are compiled for several programs.
    private static func ofBase(_ parts: [Part]) throws(ChangeError) -> [Part] {
        var kept: [Part] = []
        var failed: [(part: Part, error: ChangeError)] = []
        for part in parts where part.likeness > 0 || part.comparison.before.atoms.isEmpty {
            do throws(ChangeError) {
                try part.check()
                kept.append(part)
            } catch {
                failed.append((part, error))
            }
        }
        // Of two that define the same, the base has the one that is more like it.
        let ranked = kept.enumerated().sorted {
            let (one, other) = ($0.element.likeness, $1.element.likeness)
            return one == other ? $0.offset < $1.offset : one > other
        }
        var defined: Set<String> = []
        var chosen: Set<Int> = []
        for (index, part) in ranked where defined.isDisjoint(with: part.definitions) {
            defined.formUnion(part.definitions)
            chosen.insert(index)
        }
        for (part, error) in failed where part.definitions.isDisjoint(with: defined) {
            throw error
        }
        guard !chosen.isEmpty else { throw .otherProgram(objects: parts.count) }
        return kept.indices.filter(chosen.contains).map { kept[$0] }
    }

    /// Whether data that exists fits the code after.
    private static func checkLayouts(
        _ comparison: ObjectComparison, _ accepted: Set<String>
    ) throws(ChangeError) {
        let before = TypeLayouts(of: comparison.before.path)
        let after = TypeLayouts(of: comparison.after.path)
        let change =
            before.firstChange(to: after, besides: accepted)
            ?? Enumerations(of: comparison.before.path).firstChange(
                to: Enumerations(of: comparison.after.path), besides: accepted)
        if let change { throw .changedLayout(object: comparison.after.name, change) }
    }

    /// What has a name that the base gives to something else would be a second one.
    private static func checkNewNames(
        _ changes: ChangeSet, _ base: any LinkedBase
    ) throws(ChangeError) {
        for place in changes.included.sorted() where changes.origin(of: place) == nil {
            for name in changes.atom(place)?.strongNames ?? []
            where base.definitions(of: name).contains(where: \.isGlobal) {
                throw .definedElsewhere(
                    object: changes.name(of: place), name: name, base: base.name)
            }
        }
    }
}

extension SourceChange.Binding {
    fileprivate init(_ name: String, _ binding: PatchAssembly.Binding) {
        self.name = name
        size = binding.size
        switch binding.location {
        case .address(let address):
            definition = BaseDefinition(
                address: address, kind: binding.isFunction ? .function : .object, isGlobal: false,
                sourceFile: nil)
        case .threadLocal(let offset):
            definition = BaseDefinition(
                address: LinkAddress(rawValue: offset), kind: .threadLocal,
                isGlobal: false, sourceFile: nil)
        }
    }
}
