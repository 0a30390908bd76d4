import Addresses
import ELFImage
import Patchability

/// Finds where the base has the functions and data of one object before the change,
/// and proves it: code is the same but for what the linker filled in, and what it
/// filled in tells where everything else is.
final class BaseLocator {
    let object: CompiledObject
    let base: any LinkedBase
    let references: BaseReferences
    /// What is known of a base without names.
    let nameless: NamelessBase?
    private let decoder: InstructionDecoder
    /// Of sections of the object.
    private(set) var located: [Int: LinkAddress] = [:]
    /// What matched functions say of the sections that they refer to.
    private(set) var implied: [Int: Set<BaseLocation>] = [:]
    /// Functions that are still looked for in a base without names, and where they may be.
    var open: [Int: [LinkAddress]] = [:]
    private var matches: [CodePlace: Result<BaseCodeMatch, BaseDifference.Failure>] = [:]
    private var usersAreMatched = false

    private struct CodePlace: Hashable {
        let section: Int
        let address: LinkAddress
    }

    init(
        _ object: CompiledObject, base: any LinkedBase, words: BaseWords,
        decoder: InstructionDecoder, nameless: NamelessBase?
    ) {
        self.object = object
        self.base = base
        self.nameless = nameless
        references = BaseReferences(object: object, base: base, words: words)
        self.decoder = decoder
    }

    // MARK: - Functions

    /// Where the base has the function in `section`: the one place of that name where
    /// its code stands.
    func function(_ section: Int) throws(ChangeError) -> LinkAddress {
        if let known = located[section] { return known }
        guard let atom = object.atoms[section] else {
            throw .notInBase(object: object.name, name: "section \(section)", base: base.name)
        }
        guard nameless == nil else { throw searchFailure(section, atom) }
        var candidates = references.candidates(for: atom, kinds: [.function])
        if candidates.isEmpty {
            matchUsers()
            candidates = addresses(implied[section] ?? [])
        }
        var matching: [LinkAddress] = []
        var failure: BaseDifference.Failure?
        for address in candidates {
            switch match(section, at: address) {
            case .success: matching.append(address)
            case .failure(let difference): failure = failure ?? difference
            }
        }
        if matching.count > 1 {
            matchUsers()
            let told = addresses(implied[section] ?? [])
            matching = matching.filter(told.contains)
        }
        guard let address = matching.first else {
            guard let failure else {
                throw .notInBase(object: object.name, name: atom.name, base: base.name)
            }
            throw .baseDiffers(failure.difference)
        }
        guard matching.count == 1 else {
            throw .ambiguous(
                object: object.name, name: atom.name, base: base.name, addresses: candidates)
        }
        accept(section, at: address)
        return address
    }

    /// Takes `address` for the place of a function that stands there.
    func accept(_ section: Int, at address: LinkAddress) {
        located[section] = address
        learn(from: section, at: address)
        guard let nameless, let atom = object.atoms[section] else { return }
        for label in atom.labels where label.binding != .local && label.value.rawValue == 0 {
            nameless.note(label.name, at: .address(address))
        }
    }

    private func addresses(_ locations: Set<BaseLocation>) -> [LinkAddress] {
        locations.compactMap { if case .address(let address) = $0 { address } else { nil } }
            .sorted()
    }

    /// Whether the code of `section` may be what the base has at `address`.
    func fits(_ section: Int, at address: LinkAddress) -> Bool {
        guard let atom = object.atoms[section],
            let range = base.catalog.function(at: address)?.range
                ?? AddressRange(start: address, count: atom.section.size),
            base.catalog.isCode(range), let code = try? base.image.bytes(at: range),
            let match = try? BaseCodeMatch(atom, code, at: address),
            !match.references.contains(where: { references.contradiction($0) != nil })
        else { return false }
        matches[CodePlace(section: section, address: address)] = .success(match)
        return true
    }

    /// Holds the code of `section` against what the base has at `address`.
    func match(
        _ section: Int, at address: LinkAddress
    ) -> Result<BaseCodeMatch, BaseDifference.Failure> {
        let place = CodePlace(section: section, address: address)
        if let known = matches[place] { return known }
        let result = Result { () throws(BaseDifference.Failure) in
            try checkedMatch(section, at: address)
        }
        matches[place] = result
        return result
    }

    private func checkedMatch(
        _ section: Int, at address: LinkAddress
    ) throws(BaseDifference.Failure) -> BaseCodeMatch {
        guard let atom = object.atoms[section] else {
            throw failure(section, address, 0, "nothing", "code")
        }
        let range = base.catalog.function(at: address)?.range
        guard let range, let code = try? base.image.bytes(at: range) else {
            throw failure(section, address, 0, "code", "no function")
        }
        let match: BaseCodeMatch
        do throws(BaseCodeMatch.Difference) {
            match = try BaseCodeMatch(atom, code, at: address)
        } catch {
            throw failure(
                section, address, error.offset, text(atom.bytes, error.offset, address),
                text(code, error.baseOffset, address))
        }
        for reference in match.references {
            if let found = references.contradiction(reference) {
                throw failure(
                    section, address, reference.place,
                    text(atom.bytes, reference.place, address) + " with '"
                        + object.targetName(of: reference.relocation) + "'", found)
            }
        }
        return match
    }

    private func text(_ bytes: ByteView, _ offset: Int, _ address: LinkAddress) -> String {
        guard offset < bytes.count else { return "its end" }
        let place = address.offset(by: Int64(offset)) ?? address
        return "'" + decoder.text(bytes, at: offset, address: place) + "'"
    }

    private func failure(
        _ section: Int, _ address: LinkAddress, _ offset: Int, _ expected: String, _ found: String
    ) -> BaseDifference.Failure {
        BaseDifference.Failure(
            difference: BaseDifference(
                object: object.name, name: object.atoms[section]?.name ?? "section \(section)",
                base: base.name, address: address, offset: offset, expected: expected,
                found: found))
    }

    // MARK: - What a function refers to

    /// Notes where a matched function has what it refers to.
    private func learn(from section: Int, at address: LinkAddress) {
        guard case .success(let match) = match(section, at: address) else { return }
        for reference in match.references {
            if let nameless, case (.name(let name, _, _), let place)? = place(of: reference) {
                nameless.note(name, at: place)
            }
            let target = object.target(of: reference.relocation, lead: reference.lead)
            guard case .atom(let index, let offset) = target, let atom = object.atoms[index],
                let location = references.location(of: reference.value, target)
            else { continue }
            if atom.kind == .code, offset != 0 { continue }
            switch location {
            case .address(let place) where references.isStub(place, of: atom): continue
            case .address(let place):
                implied[index, default: []].insert(.address(place.wrapping(by: 0 &- offset)))
            case .threadLocal(let place):
                implied[index, default: []].insert(
                    .threadLocal(place &- UInt64(bitPattern: offset)))
            }
        }
    }

    /// Matches every function of the object that has one place in the base, for what
    /// they refer to.
    private func matchUsers() {
        guard !usersAreMatched, nameless == nil else { return }
        usersAreMatched = true
        for (section, atom) in object.atoms where atom.kind == .code && located[section] == nil {
            let candidates = references.candidates(for: atom, kinds: [.function])
            guard candidates.count == 1, let address = candidates.first,
                case .success = match(section, at: address)
            else { continue }
            accept(section, at: address)
        }
    }

    // MARK: - Data

    /// Where the base has the datum in `section`: where matched functions refer to
    /// it, or where its name says.
    func datum(_ section: Int) throws(ChangeError) -> BaseLocation {
        guard let atom = object.atoms[section] else {
            throw .notInBase(object: object.name, name: "section \(section)", base: base.name)
        }
        let isThreadLocal = atom.kind == .threadLocal
        let kinds: Set<BaseDefinition.Kind> = isThreadLocal ? [.threadLocal] : [.object]
        var told = implied[section] ?? []
        for label in atom.labels where label.binding != .local && label.value.rawValue == 0 {
            if let place = nameless?.location(of: label.name) { told.insert(place) }
        }
        if told.isEmpty {
            told = Set(
                references.candidates(for: atom, kinds: kinds).map {
                    isThreadLocal ? .threadLocal($0.rawValue) : .address($0)
                })
        }
        if told.count != 1 {
            matchUsers()
            let known = implied[section] ?? []
            if !known.isEmpty { told = told.isEmpty ? known : told.intersection(known) }
        }
        guard let location = told.first else {
            throw .notInBase(object: object.name, name: atom.name, base: base.name)
        }
        guard told.count == 1 else {
            throw .ambiguous(
                object: object.name, name: atom.name, base: base.name, addresses: addresses(told))
        }
        if case .address(let address) = location { try check(atom, section, at: address) }
        return location
    }

    /// Whether the base starts with the same bytes there.
    private func check(
        _ atom: Atom, _ section: Int, at address: LinkAddress
    ) throws(ChangeError) {
        func differs(_ offset: Int, _ expected: String, _ found: String) -> ChangeError {
            .baseDiffers(failure(section, address, offset, expected, found).difference)
        }
        guard let home = base.image.section(at: address) else {
            throw differs(0, "\(atom.section.size) bytes", "nothing")
        }
        guard home.type != .noBits else {
            let isZero = atom.bytes.array().allSatisfy { $0 == 0 }
            guard isZero, atom.relocations.isEmpty else { throw differs(0, "bytes", "zeroes") }
            return
        }
        guard !atom.bytes.isEmpty else { return }
        let range = AddressRange(start: address, count: UInt64(atom.bytes.count))
        guard let range, let found = try? base.image.bytes(at: range) else {
            throw differs(0, "\(atom.bytes.count) bytes", "fewer")
        }
        var isFilledIn = [Bool](repeating: false, count: atom.bytes.count)
        for relocation in atom.relocations {
            let start = Int(clamping: relocation.offset.rawValue)
            let width = RelocationKind(rawValue: relocation.type.rawValue)?.width ?? 0
            for index in start..<min(start + width, isFilledIn.count) { isFilledIn[index] = true }
        }
        for index in isFilledIn.indices where !isFilledIn[index] {
            guard atom.bytes[index] == found[index] else {
                throw differs(
                    index, "byte \(atom.bytes[index] ?? 0)", "byte \(found[index] ?? 0)")
            }
        }
    }

    /// The functions of the base that are known to be those of the object.
    var functions: Set<LinkAddress> {
        matchUsers()
        return Set(located.values)
    }
}

extension BaseDifference {
    /// As an error, while candidates are tried.
    struct Failure: Error {
        let difference: BaseDifference
    }
}
