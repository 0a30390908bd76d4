import Addresses
import ELFImage
import Patchability

/// Finds where the base has the functions and data of one object before the change,
/// and proves it: code is the same but for what the linker filled in, and what it
/// filled in tells where everything else is.
final class BaseLocator {
    /// Where something is in the base.
    enum Location: Hashable {
        case address(LinkAddress)
        /// Bytes from the start of the thread-local segment.
        case threadLocal(UInt64)
    }

    let object: CompiledObject
    private let base: any LinkedBase
    private let words: BaseWords
    private let decoder: InstructionDecoder
    /// Of sections of the object.
    private var located: [Int: LinkAddress] = [:]
    /// What matched functions say of the sections that they refer to.
    private var implied: [Int: Set<Location>] = [:]
    private var matches: [CodePlace: Result<BaseCodeMatch, BaseDifference.Failure>] = [:]
    private var usersAreMatched = false

    private struct CodePlace: Hashable {
        let section: Int
        let address: LinkAddress
    }

    init(
        _ object: CompiledObject, base: any LinkedBase, words: BaseWords,
        decoder: InstructionDecoder
    ) {
        self.object = object
        self.base = base
        self.words = words
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
        var candidates = candidates(for: atom, kinds: [.function])
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
        located[section] = address
        learn(from: section, at: address)
        return address
    }

    /// The places of that name; of a local one those of the same source, as far as
    /// the base tells.
    private func candidates(
        for atom: Atom, kinds: Set<BaseDefinition.Kind>
    ) -> [LinkAddress] {
        let names = atom.labels.filter { $0.value.rawValue == 0 }.map(\.name)
        var all: Set<BaseDefinition> = []
        for name in names { all.formUnion(base.definitions(of: name)) }
        let fitting = all.filter { kinds.contains($0.kind) }
        let same = fitting.filter { $0.sourceFile == object.sourceFile }
        let chosen = atom.isGlobal || same.isEmpty ? fitting : same
        return Set(chosen.map(\.address)).sorted()
    }

    private func addresses(_ locations: Set<Location>) -> [LinkAddress] {
        locations.compactMap { if case .address(let address) = $0 { address } else { nil } }
            .sorted()
    }

    /// Holds the code of `section` against what the base has at `address`.
    private func match(
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
            if let found = contradiction(reference, in: match) {
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

    /// What the base has instead of what a reference of the object names; nil where
    /// it may be that.
    private func contradiction(
        _ reference: BaseCodeMatch.Reference, in match: BaseCodeMatch
    ) -> String? {
        let target = object.target(of: reference.relocation, lead: reference.lead)
        guard let location = location(of: reference.value, target) else { return nil }
        switch (target, location) {
        case (.name(let name, let offset, _), .address(let address)):
            return contradiction(name, at: address.wrapping(by: 0 &- offset))
        case (.literal(let index, let anchor, let distance), .address(let address)):
            guard let atom = object.atoms[index] else { return nil }
            return contradiction(
                atom, literalAt: anchor, at: address.wrapping(by: 0 &- distance))
        case (.atom(let index, let offset), .address(let address)):
            guard let atom = object.atoms[index] else { return nil }
            let start = address.wrapping(by: 0 &- offset)
            guard !atom.isToldByContent, offset == 0 || atom.kind != .code else { return nil }
            let known = candidates(for: atom, kinds: [.function, .object])
            return known.isEmpty || known.contains(start) ? nil : "\(start)"
        default:
            return nil
        }
    }

    /// Where the reference leads, the words of the offset table followed.
    private func location(of value: BaseCodeMatch.Value, _ target: Target) -> Location? {
        switch value {
        case .address(let address): return .address(address)
        case .word(let word):
            switch words[word] {
            case .address(let address): return .address(address)
            case .symbol(let name, _):
                // By its name it is known as well as by its address.
                if case .name(name, _, _) = target { return nil }
                return base.definitions(of: name).first.map { .address($0.address) }
            default: return nil
            }
        case .threadOffset(let offset):
            return base.image.threadPointerOffset.map {
                .threadLocal($0 &+ UInt64(bitPattern: offset))
            }
        case .unknown: return nil
        }
    }

    private func contradiction(_ name: String, at address: LinkAddress) -> String? {
        let known = base.definitions(of: name).filter { $0.kind != .threadLocal }
        if known.contains(where: { $0.address == address }) { return nil }
        // Its stub in the procedure linkage table, or nothing that has a name.
        guard let record = base.catalog.function(at: address) else {
            return known.isEmpty ? nil : "\(address)"
        }
        let names = record.names.map(\.text)
        if record.kind == .pltStub {
            return names.isEmpty || names.contains(name + "@plt") ? nil : names.first
        }
        return names.contains(name) ? nil : record.displayName
    }

    private func contradiction(
        _ atom: Atom, literalAt offset: Int64, at address: LinkAddress
    ) -> String? {
        guard let literal = atom.literal(at: offset), atom.relocations.isEmpty else { return nil }
        let range = AddressRange(start: address, count: UInt64(literal.count))
        let found = range.flatMap { try? base.image.bytes(at: $0) }
        return found?.array() == literal.array() ? nil : "other bytes at \(address)"
    }

    /// Notes where a matched function has what it refers to.
    private func learn(from section: Int, at address: LinkAddress) {
        guard case .success(let match) = match(section, at: address) else { return }
        for reference in match.references {
            let target = object.target(of: reference.relocation, lead: reference.lead)
            guard case .atom(let index, let offset) = target, let atom = object.atoms[index],
                let location = location(of: reference.value, target)
            else { continue }
            if atom.kind == .code, offset != 0 { continue }
            switch location {
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
        guard !usersAreMatched else { return }
        usersAreMatched = true
        for (section, atom) in object.atoms where atom.kind == .code && located[section] == nil {
            let candidates = candidates(for: atom, kinds: [.function])
            guard candidates.count == 1, let address = candidates.first,
                case .success = match(section, at: address)
            else { continue }
            located[section] = address
            learn(from: section, at: address)
        }
    }

    // MARK: - Data

    /// Where the base has the datum in `section`: where matched functions refer to
    /// it, or where its name says.
    func datum(_ section: Int) throws(ChangeError) -> Location {
        guard let atom = object.atoms[section] else {
            throw .notInBase(object: object.name, name: "section \(section)", base: base.name)
        }
        let isThreadLocal = atom.kind == .threadLocal
        let kinds: Set<BaseDefinition.Kind> = isThreadLocal ? [.threadLocal] : [.object]
        var told = implied[section] ?? []
        if told.isEmpty {
            told = Set(
                candidates(for: atom, kinds: kinds).map {
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
