import Addresses
import ELFImage
import Patchability

/// What is found out about a base that has no names of its own (`strip`), by all of the
/// objects together.
final class NamelessBase {
    let base: any LinkedBase
    /// The functions that no symbol knows of, by size.
    private let unnamed: [(size: UInt64, address: LinkAddress)]
    /// What matched functions say of the names that they refer to.
    private var places: [String: Set<BaseLocation>] = [:]
    /// Bytes of code that may still be compared: more than any compiler's objects need.
    private var budget = 1 << 34

    init(_ base: any LinkedBase) {
        self.base = base
        unnamed = base.catalog.filter { $0.kind == .unnamed }
            .map { ($0.range.count, $0.address) }.sorted { $0 < $1 }
    }

    /// The functions without names that may be this one by their size. Jumps to others of
    /// the same section are shorter where a source was not compiled with
    /// -ffunction-sections, and what is aligned behind them moves.
    func candidates(for atom: Atom) -> [LinkAddress] {
        let jumps = UInt64(atom.jumpsToOthers)
        let least = atom.section.size &- min(atom.section.size, jumps * 4 + (jumps > 0 ? 15 : 0))
        let most = atom.section.size &+ (jumps > 0 ? 15 : 0)
        let first = unnamed.partitioningIndex { $0.size < least }
        let found = unnamed[first...].prefix { $0.size <= most }
        let (cost, overflow) = found.count.multipliedReportingOverflow(by: atom.bytes.count)
        guard !overflow, cost <= budget else { return [] }
        budget -= cost
        return found.map(\.address)
    }

    func note(_ name: String, at place: BaseLocation) {
        places[name, default: []].insert(place)
    }

    /// Where something is that the base has no name for; nil where nothing tells, or
    /// where what tells does not agree.
    func location(of name: String) -> BaseLocation? {
        guard let found = places[name], found.count == 1 else { return nil }
        return found.first
    }

    /// Whether functions that are known to be in the base refer to `name` elsewhere.
    func contradicts(_ name: String, at place: BaseLocation) -> Bool {
        places[name].map { !$0.contains(place) } ?? false
    }

    /// Goes on from object to object until nothing more is found.
    static func search(_ locators: [BaseLocator]) {
        for locator in locators { locator.prepareSearch() }
        var isNew = true
        while isNew {
            isNew = false
            for locator in locators where locator.searchOnce() { isNew = true }
        }
    }
}

extension Atom {
    /// How many jumps of it lead out of its section.
    fileprivate var jumpsToOthers: Int {
        relocations.count { relocation in
            let field = Int(clamping: relocation.offset.rawValue)
            // e9 jmp; 0f 80–8f jcc.
            return bytes[field - 1] == 0xe9
                || bytes[field - 2] == 0x0f && (bytes[field - 1] ?? 0) & 0xf0 == 0x80
        }
    }
}

/// The search for functions in a base without names. One is proved to be where its code
/// is and nothing else has it, and where it refers to what tells it from others that the
/// linker may have left out; or where one that is proved to be there refers to it.
extension BaseLocator {
    /// Finds for each function all places where its code stands.
    func prepareSearch() {
        guard let nameless, open.isEmpty else { return }
        for (section, atom) in object.atoms where atom.kind == .code {
            var candidates = references.candidates(for: atom, kinds: [.function])
            if candidates.isEmpty { candidates = nameless.candidates(for: atom) }
            open[section] = candidates.filter { fits(section, at: $0) }
        }
    }

    /// Takes for found what can be told now. Returns whether there was any.
    func searchOnce() -> Bool {
        var isNew = false
        for (section, candidates) in open.sorted(by: { $0.key < $1.key }) {
            guard let atom = object.atoms[section] else { continue }
            let fitting = candidates.filter { agrees(section, at: $0) }
            let told = told(section, atom)
            let address: LinkAddress
            if let told {
                // Assembly has no unwind table that would tell of it.
                let isUntold = candidates.isEmpty && base.catalog.function(at: told) == nil
                guard fitting.contains(told) || isUntold && fits(section, at: told) else {
                    continue
                }
                address = told
            } else {
                guard fitting.count == 1, let only = fitting.first,
                    weight(section, at: only) >= Self.enough
                        || !references.candidates(for: atom, kinds: [.function]).isEmpty
                else { continue }
                address = only
            }
            open[section] = nil
            accept(section, at: address)
            isNew = true
        }
        return isNew
    }

    /// Why the function in `section` was not found.
    func searchFailure(_ section: Int, _ atom: Atom) -> ChangeError {
        let fitting = (open[section] ?? []).filter { agrees(section, at: $0) }
        switch fitting.count {
        case 0:
            return .notInBase(object: object.name, name: atom.name, base: base.name)
        case 1:
            return .unproved(
                object: object.name, name: atom.name, base: base.name, address: fitting[0])
        default:
            return .ambiguous(
                object: object.name, name: atom.name, base: base.name, addresses: fitting)
        }
    }

    /// Where functions that are found say that it is.
    private func told(_ section: Int, _ atom: Atom) -> LinkAddress? {
        var places = implied[section] ?? []
        for label in atom.labels where label.binding != .local && label.value.rawValue == 0 {
            if let place = nameless?.location(of: label.name) { places.insert(place) }
        }
        guard places.count == 1, case .address(let address)? = places.first else { return nil }
        return address
    }

    /// Whether what the code at `address` refers to is what those say that are found.
    private func agrees(_ section: Int, at address: LinkAddress) -> Bool {
        guard case .success(let match) = match(section, at: address) else { return false }
        return match.references.allSatisfy { reference in
            guard let (target, place) = place(of: reference) else { return true }
            switch target {
            case .atom(let index, _):
                if case .address(let address) = place, let known = located[index] {
                    return known == address
                }
                return implied[index].map { $0.contains(place) } ?? true
            case .name(let name, _, _):
                return nameless?.contradicts(name, at: place) == false
            default:
                return true
            }
        }
    }

    /// Where the start of what a reference leads to is; nil where it is told by its
    /// content, or by a name of another object.
    func place(of reference: BaseCodeMatch.Reference) -> (target: Target, place: BaseLocation)? {
        let target = object.target(of: reference.relocation, lead: reference.lead)
        let distance: Int64
        switch target {
        case .atom(let index, let offset):
            guard let atom = object.atoms[index], !atom.isToldByContent,
                atom.kind != .code || offset == 0
            else { return nil }
            distance = offset
        case .name(let name, let offset, _):
            guard base.definitions(of: name).isEmpty, !base.imports(name),
                name != Relaxation.blockName
            else { return nil }
            distance = offset
        default:
            return nil
        }
        switch references.location(of: reference.value, target) {
        case .address(let address)?:
            let start = address.wrapping(by: 0 &- distance)
            // A call of what another object has goes by a stub.
            guard base.catalog.function(at: start)?.kind != .pltStub,
                base.image.section(at: start) != nil
            else { return nil }
            return (target, .address(start))
        case .threadLocal(let offset)?:
            return (target, .threadLocal(offset &- UInt64(bitPattern: distance)))
        case nil:
            return nil
        }
    }

    /// The names of the functions that were found.
    var foundSymbols: [FoundSymbol] {
        located.sorted { $0.key < $1.key }.flatMap { section, address in
            let size = base.catalog.function(at: address)?.range.count ?? 0
            return (object.atoms[section]?.labels ?? []).filter {
                $0.value.rawValue == 0 && $0.type == .function
            }.map { label in
                let isLocal = label.binding == .local
                return FoundSymbol(
                    name: label.name, address: address, size: size, isLocal: isLocal,
                    sourceFile: isLocal ? object.sourceFile : nil)
            }
        }
    }

    // MARK: - What tells a function from others

    /// Less tells little: a function of a few instructions is in many programs.
    private static let enough = 3

    /// How much there is in the code at `address` that others would not have: strings, what
    /// it takes from libraries, what is found already, and its length.
    private func weight(_ section: Int, at address: LinkAddress) -> Int {
        guard case .success(let match) = match(section, at: address) else { return 0 }
        var strings: Set<[UInt8]> = []
        var names: Set<String> = []
        var found: Set<BaseLocation> = []
        for reference in match.references {
            switch object.target(of: reference.relocation, lead: reference.lead) {
            case .literal(let index, let anchor, _):
                guard let literal = object.atoms[index]?.literal(at: anchor), literal.count > 4
                else { continue }
                strings.insert(literal.array())
            case .name(let name, _, _)
            where base.imports(name) || !base.definitions(of: name).isEmpty:
                names.insert(name)
            case .atom(let index, _):
                guard let (_, place) = place(of: reference),
                    located[index] != nil || implied[index] != nil
                else { continue }
                found.insert(place)
            case .name(let name, _, _):
                guard let (_, place) = place(of: reference),
                    nameless?.location(of: name) == place
                else { continue }
                found.insert(place)
            default: continue
            }
        }
        let length = Int(clamping: (object.atoms[section]?.section.size ?? 0) / 64)
        return strings.count * 2 + names.count + found.count * 3 + min(length, 3)
    }
}
