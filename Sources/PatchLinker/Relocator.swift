import Addresses
import ELFImage
import PatchFile

/// Fills in the addresses of a payload at one place, by the rules of the psABI
/// (x86-64, table 4.9: S symbol, A addend, P place, G table word, L stub).
struct Relocator {
    let object: PatchObject
    let layout: PayloadLayout
    let start: RemoteAddress

    func copySections(into image: inout PayloadImage) throws(LinkError) {
        for piece in object.pieces where piece.section.type != .noBits {
            guard let offset = layout.sections[piece.section.index] else { continue }
            image.write(piece.bytes.array(), at: offset)
        }
    }

    func fillOffsetTable(in image: inout PayloadImage) throws(LinkError) {
        for (word, offset) in layout.words {
            let bytes: [UInt8]
            switch word {
            case .address(let meaning):
                bytes = PayloadHeader.littleEndian(
                    try address(of: meaning, for: "the offset table"))
            case .resolver(.indirect(let resolver)):
                bytes = PayloadHeader.littleEndian(resolver.rawValue)
            case .resolver:
                continue
            case .threadPointerOffset(let meaning):
                bytes = PayloadHeader.littleEndian(try threadPointerOffset(of: meaning))
            case .moduleAndOffset(let meaning):
                bytes = try moduleAndOffset(of: meaning)
            }
            image.write(bytes, at: offset)
        }
    }

    func writeStubs(into image: inout PayloadImage) throws(LinkError) {
        for (binding, offset) in layout.stubs {
            let place = address(at: offset)
            if binding.isIndirect {
                let word = address(at: layout.resolvedWords[binding] ?? 0)
                let resolver = address(at: layout.words[.resolver(binding)] ?? 0)
                guard
                    let stub = CallStub.resolving(
                        at: place, through: word, resolverWord: resolver)
                else { throw .outOfReach(stub: place, word: word) }
                image.write(stub.code, at: offset)
                image.write(
                    PayloadHeader.littleEndian(stub.initialWord.rawValue),
                    at: layout.resolvedWords[binding] ?? 0)
            } else {
                let word = address(at: layout.words[.address(.bound(binding))] ?? 0)
                guard let stub = CallStub.direct(at: place, through: word) else {
                    throw .outOfReach(stub: place, word: word)
                }
                image.write(stub, at: offset)
            }
        }
    }

    /// Writes each detour's stub and returns where they are.
    func writeDetourStubs(into image: inout PayloadImage) throws(LinkError) -> [RemoteAddress] {
        let state = layout.readOnly + layout.code
        var stubs: [RemoteAddress] = []
        for (index, offset) in layout.detourStubs.enumerated() {
            let place = address(at: offset)
            let decision = address(at: state + PayloadState.Offset.decision)
            guard
                let code = DetourStub.code(
                    at: place, decision: decision,
                    before: address(at: state + PayloadState.Offset.before(index)),
                    after: address(at: state + PayloadState.Offset.after(index)))
            else { throw .outOfReach(stub: place, word: decision) }
            image.write(code, at: offset)
            stubs.append(place)
        }
        return stubs
    }

    /// Writes the originals' moved entries and returns where they are; nil for one
    /// that cannot be moved, or not here.
    func writeMovedEntries(
        _ entries: [MovedEntry?], of sites: [RemoteAddress], into image: inout PayloadImage
    ) -> [RemoteAddress?] {
        entries.indices.map { index in
            guard let entry = entries[index], let offset = layout.movedEntries[index] else {
                return nil
            }
            let place = address(at: offset)
            guard let code = entry.code(at: place, movedFrom: sites[index]) else { return nil }
            image.write(code, at: offset)
            return place
        }
    }

    func relocate(_ image: inout PayloadImage) throws(LinkError) {
        for piece in object.pieces {
            guard let offset = layout.sections[piece.section.index] else { continue }
            for relocation in piece.relocations
            where relocation.type.rawValue != PatchRelocation.none.rawValue {
                try apply(
                    relocation, of: piece.section, at: offset + relocation.offset.rawValue,
                    in: &image)
            }
        }
    }

    private func apply(
        _ relocation: Relocation, of section: Section, at offset: UInt64,
        in image: inout PayloadImage
    ) throws(LinkError) {
        guard let type = PatchRelocation(rawValue: relocation.type.rawValue) else {
            throw .unsuitable(
                relocation: "relocation type \(relocation.type.rawValue)",
                symbol: object.name(of: Int(relocation.symbolIndex)),
                reason: "this version does not know it")
        }
        let place = address(at: offset)
        let (meaning, addend) = try object.reference(of: relocation, in: section)
        let target: UInt64
        switch type {
        case .none: return
        case .absolute64:
            image.write(
                PayloadHeader.littleEndian(
                    try address(of: meaning, for: type.name)
                        &+ UInt64(bitPattern: addend)),
                at: offset)
            return
        case .pc64:
            image.write(
                PayloadHeader.littleEndian(
                    try address(of: meaning, for: type.name)
                        &+ UInt64(bitPattern: addend) &- place.rawValue),
                at: offset)
            return
        case .absolute32, .absolute32Signed:
            let value = try reachable(meaning, for: type) &+ UInt64(bitPattern: addend)
            // With a sign the highest bit would be taken for one.
            let highest: UInt64 = type == .absolute32 ? 0xffff_ffff : 0x7fff_ffff
            guard value <= highest else {
                throw .outOfRange(
                    relocation: type.name, symbol: object.name(of: Int(relocation.symbolIndex)),
                    place: place, target: RemoteAddress(rawValue: value))
            }
            image.write(Array(PayloadHeader.littleEndian(value).prefix(4)), at: offset)
            return
        case .pc32, .plt32:
            target = try reachable(meaning, for: type)
        case .gotPCRelative, .gotPCRelativeRelaxable, .rexGOTPCRelativeRelaxable:
            target = try word(.address(meaning))
        case .tlsInitialExec:
            target = try word(.threadPointerOffset(meaning))
        case .tlsGeneralDynamic:
            target = try word(.moduleAndOffset(meaning))
        }
        // The field holds S + A - P; counted from P, so that the addend, which
        // accounts for the rest of the instruction, stays with the target.
        let sum = RemoteAddress(rawValue: target &+ UInt64(bitPattern: addend))
        guard let displacement = Rel32(fromEnd: place, to: sum) else {
            throw .outOfRange(
                relocation: type.name, symbol: object.name(of: Int(relocation.symbolIndex)),
                place: place, target: sum)
        }
        image.write(displacement.bytes, at: offset)
    }

    private func word(_ word: PayloadLayout.Word) throws(LinkError) -> UInt64 {
        guard let offset = layout.words[word] else { throw .unbound(symbol: "\(word)") }
        return address(at: offset).rawValue
    }

    /// S as code sees it: for an indirect function the stub is its address.
    func address(
        of meaning: PatchObject.Meaning, for use: String
    ) throws(LinkError) -> UInt64 {
        switch meaning {
        case .absolute(let value): return value
        case .own(let section, let offset):
            guard let base = layout.sections[section] else {
                throw .unbound(symbol: "section \(section)")
            }
            return address(at: base).rawValue &+ offset
        case .original(let index):
            guard let offset = layout.movedEntries[index] else {
                throw .unbound(symbol: "the original of function \(index)")
            }
            return address(at: offset).rawValue
        case .bound(.near(let address)), .bound(.far(let address, _)): return address.rawValue
        case .bound(.absent): return 0
        case .bound(.indirect(let resolver)):
            let binding = SymbolResolution.indirect(resolver: resolver)
            guard let offset = layout.stubs[binding] else {
                throw .unbound(symbol: "the function of the resolver at \(resolver)")
            }
            return address(at: offset).rawValue
        case .bound(.threadLocal):
            throw .unsuitable(
                relocation: use, symbol: "a thread-local variable",
                reason: "its address differs from thread to thread")
        }
    }

    /// S or L, whichever a 32-bit displacement reaches. What is absent can be called,
    /// which nobody does, but its address is none.
    private func reachable(
        _ meaning: PatchObject.Meaning, for use: PatchRelocation
    ) throws(LinkError) -> UInt64 {
        if case .bound(let binding) = meaning, binding != .absent || use == .plt32,
            let offset = layout.stubs[binding]
        {
            return address(at: offset).rawValue
        }
        return try address(of: meaning, for: use.name)
    }

    private func threadPointerOffset(
        of meaning: PatchObject.Meaning
    ) throws(LinkError) -> Int64 {
        guard case .bound(.threadLocal(let binding)) = meaning,
            let offset = binding.threadPointerOffset
        else {
            throw .unsuitable(
                relocation: PatchRelocation.tlsInitialExec.name, symbol: "a thread-local variable",
                reason: "its distance from the thread pointer is not known; "
                    + "build without -ftls-model")
        }
        return offset
    }

    private func moduleAndOffset(of meaning: PatchObject.Meaning) throws(LinkError) -> [UInt8] {
        guard case .bound(.threadLocal(let binding)) = meaning, let module = binding.module else {
            throw .unsuitable(
                relocation: PatchRelocation.tlsGeneralDynamic.name,
                symbol: "a thread-local variable",
                reason: "the number of its module is not known")
        }
        return PayloadHeader.littleEndian(module) + PayloadHeader.littleEndian(binding.offset)
    }

    /// The payload's range was checked before linking, so this does not wrap.
    func address(at offset: UInt64) -> RemoteAddress {
        RemoteAddress(rawValue: start.rawValue &+ offset)
    }
}
