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
        var rest = before
        var pairs: [ObjectPair] = []
        for object in after {
            let name = object.path.lastComponent
            let same = rest.indices.filter { rest[$0].path.lastComponent == name }
            let shared = same.map { rest[$0].path.commonSuffix(with: object.path) }
            guard let longest = shared.max() else {
                if before.count == 1, after.count == 1 {
                    return [ObjectPair(before: before[0], after: object)]
                }
                throw .pairing(
                    after: object.name,
                    reason: "no object before has that name; name both alike, in two folders")
            }
            guard shared.count(where: { $0 == longest }) == 1 else {
                throw .pairing(
                    after: object.name, reason: "several objects before have that name")
            }
            let chosen = same[shared.firstIndex(of: longest) ?? 0]
            pairs.append(ObjectPair(before: rest.remove(at: chosen), after: object))
        }
        if let left = rest.first {
            throw .pairing(
                after: left.name, reason: "it is named before, and no object after is it")
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
        public let sourceFile: String?
        public let address: LinkAddress
        /// The symbol in ``SourceChange/object``.
        public let replacement: String
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
    /// In the order of their names.
    public let bindings: [Binding]
    /// The names that other objects define, and whether they may stay undefined.
    public let externals: [(name: String, isWeak: Bool)]
    /// Functions of the base that were compared: what the change means for them is
    /// done.
    public let compared: Set<LinkAddress>
    /// How many functions were compared, and how many of them have other line numbers
    /// only.
    public let functionCount: Int
    public let movedLineCount: Int

    /// Compares `pairs`, and finds everything in `base`.
    public init(_ pairs: [ObjectPair], base: any LinkedBase) throws(ChangeError) {
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
        let comparisons = pairs.map { pair in
            ObjectComparison(pair.before, pair.after, decoder: decoder)
        }
        let changes = try ChangeSet(comparisons)
        let locators = pairs.map {
            BaseLocator($0.before, base: base, words: words, decoder: decoder)
        }
        // The functions that change come first: what they refer to is found by them.
        var addresses: [Place: LinkAddress] = [:]
        for place in changes.replacements {
            guard let section = comparisons[place.object].correlation.before[place.section] else {
                continue
            }
            addresses[place] = try locators[place.object].function(section)
        }
        let assembly = try PatchAssembly(changes, locators, base: base)
        object = assembly.object
        replacements = addresses.compactMap { place, address in
            assembly.replacements[place].map { name in
                Replacement(
                    symbol: Self.symbol(of: place, comparisons),
                    sourceFile: pairs[place.object]
                        .before.sourceFile, address: address, replacement: name)
            }
        }.sorted { $0.address < $1.address }
        bindings = assembly.bindings.map { Binding($0.key, $0.value) }
            .sorted { $0.name < $1.name }
        externals = assembly.externals.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }
        compared = locators.reduce(into: []) { $0.formUnion($1.functions) }
        functionCount = changes.summary.functions
        movedLineCount = changes.summary.movedLines
    }

    private static func symbol(of place: Place, _ comparisons: [ObjectComparison]) -> String {
        let comparison = comparisons[place.object]
        let before = comparison.correlation.before[place.section]
        return before.flatMap { comparison.before.atoms[$0] }?.name ?? ""
    }
}

extension SourceChange.Binding {
    fileprivate init(_ name: String, _ binding: PatchAssembly.Binding) {
        self.name = name
        size = binding.size
        switch binding.location {
        case .address(let address):
            definition = BaseDefinition(
                address: address, kind: binding.isFunction ? .function : .object, sourceFile: nil)
        case .threadLocal(let offset):
            definition = BaseDefinition(
                address: LinkAddress(rawValue: offset), kind: .threadLocal, sourceFile: nil)
        }
    }
}
