import Addresses
import ELFImage
import Patchability

/// Where something is in the base.
enum BaseLocation: Hashable {
    case address(LinkAddress)
    /// Bytes from the start of the thread-local segment.
    case threadLocal(UInt64)
}

/// Follows what the linker filled into the code of one object, and holds it against the
/// names that the base has.
struct BaseReferences {
    let object: CompiledObject
    let base: any LinkedBase
    let words: BaseWords

    /// The places of that name; of a local one those of the same source, as far as
    /// the base tells.
    func candidates(
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

    /// What the base has instead of what a reference of the object names; nil where
    /// it may be that.
    func contradiction(
        _ reference: BaseCodeMatch.Reference
    ) -> String? {
        let target = object.target(of: reference.relocation, lead: reference.lead)
        if let found = importContradiction(reference.value, target) { return found }
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
            return known.isEmpty || known.contains(start) || isStub(start, of: atom)
                ? nil : "\(start)"
        case (.name(let name, let offset, _), .threadLocal(let place)):
            if name == Relaxation.blockName { return nil }
            let start = place &- UInt64(bitPattern: offset)
            let known = base.definitions(of: name).filter { $0.kind == .threadLocal }
            return known.isEmpty || known.contains { $0.address.rawValue == start }
                ? nil : "another thread-local variable"
        case (.atom(let index, let offset), .threadLocal(let place)):
            guard let atom = object.atoms[index] else { return nil }
            let start = LinkAddress(rawValue: place &- UInt64(bitPattern: offset))
            let known = candidates(for: atom, kinds: [.threadLocal])
            return known.isEmpty || known.contains(start)
                ? nil : "another thread-local variable"
        default:
            return nil
        }
    }

    /// Whether that is the stub by which code asks the loader for the function: a
    /// library does for what it exports, all do where a resolver chooses.
    func isStub(_ address: LinkAddress, of atom: Atom) -> Bool {
        guard atom.kind == .code, let record = base.catalog.function(at: address),
            record.kind == .pltStub
        else { return false }
        let names = record.names.map(\.text)
        return names.isEmpty
            ? atom.labels.contains { $0.type == .indirectFunction }
            : atom.labels.contains { names.contains($0.name + "@plt") }
    }

    /// What another object of the process is asked for, where the base asks for it by a
    /// name, and that is not the one of the object.
    private func importContradiction(
        _ value: BaseCodeMatch.Value, _ target: Target
    ) -> String? {
        guard case .name(let full, _, _) = target else { return nil }
        let found = value.words.lazy.compactMap { word -> String? in
            if case .symbol(let name, _)? = words[word] { name } else { nil }
        }.first
        guard let found else { return nil }
        // A version is part of the name that the assembler knows: `open@V1`.
        let name = full.prefix { $0 != "@" }
        guard name != found else { return nil }
        let places = Set(base.definitions(of: found).map(\.address))
        let own = base.definitions(of: String(name)).map(\.address)
        return places.isDisjoint(with: own) ? "'\(found)'" : nil
    }

    /// Where the reference leads, the words of the offset table followed.
    func location(of value: BaseCodeMatch.Value, _ target: Target) -> BaseLocation? {
        switch value {
        case .address(let address): return .address(address)
        case .word(let word):
            switch words[word] {
            case .address(let address): return .address(address)
            case .symbol(let name, _): return location(of: name, target)
            default: return nil
            }
        case .threadOffset(let offset): return threadLocal(fromPointer: offset)
        case .blockOffset(let offset): return .threadLocal(UInt64(bitPattern: offset))
        case .threadWord(let word):
            switch words[word] {
            case .blockOffset(let offset): return .threadLocal(UInt64(bitPattern: offset))
            case .symbol(let name, _): return location(of: name, target)
            // A program's own, of which the linker knows all.
            case nil: return number(at: word).flatMap { threadLocal(fromPointer: $0) }
            default: return nil
            }
        case .blockWords(let first):
            // A descriptor, or the words for __tls_get_addr, of which the second is
            // filled in already where the variable is the base's own.
            let second = first.wrapping(by: 8)
            switch words[first] {
            case .blockOffset(let offset): return .threadLocal(UInt64(bitPattern: offset))
            case .symbol(let name, _): return location(of: name, target)
            case .other: break
            default: return nil
            }
            switch words[second] {
            case .symbol(let name, _): return location(of: name, target)
            case .blockOffset(let offset): return .threadLocal(UInt64(bitPattern: offset))
            case nil: return number(at: second).map { .threadLocal(UInt64(bitPattern: $0)) }
            default: return nil
            }
        case .unknown: return nil
        }
    }

    /// What the base defines under a name that a word of it is bound to.
    private func location(of name: String, _ target: Target) -> BaseLocation? {
        // By its name it is known as well as by its address.
        if case .name(name, _, _) = target { return nil }
        return base.definitions(of: name).first.map {
            $0.kind == .threadLocal ? .threadLocal($0.address.rawValue) : .address($0.address)
        }
    }

    private func threadLocal(fromPointer offset: Int64) -> BaseLocation? {
        base.image.threadPointerOffset.map {
            .threadLocal($0 &+ UInt64(bitPattern: offset))
        }
    }

    /// What the file has in the eight bytes at an address.
    private func number(at address: LinkAddress) -> Int64? {
        AddressRange(start: address, count: 8).flatMap { try? base.image.bytes(at: $0) }
            .flatMap { $0.load(0, as: Int64.self) }
    }

    private func contradiction(_ name: String, at address: LinkAddress) -> String? {
        let known = base.definitions(of: name).filter { $0.kind != .threadLocal }
        if known.contains(where: { $0.address == address }) { return nil }
        // Its stub in the procedure linkage table, or nothing that has a name.
        guard let record = base.catalog.function(at: address) else {
            return known.isEmpty ? nil : "\(address)"
        }
        let names = record.names.map(\.text)
        if names.isEmpty { return known.isEmpty ? nil : "\(address)" }
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
}
