import Addresses
import CDecoder
import ELFImage

/// A stub of the procedure linkage table, which jumps to what a slot of the GOT
/// holds.
struct PLTStub {
    let address: UInt64
    let size: UInt64
    /// The dynamic symbol, or the index among the resolvers.
    let symbol: UInt32
    let origin: Label.Origin
}

/// Finds the stubs and what they stand for (psABI, "Procedure Linkage Table"; the
/// second table of -z ibtplt, .plt.got for what is also called through a pointer,
/// .iplt of static programs).
struct PLTReader {
    private let code: CodeMap
    /// What each slot of the GOT is relocated with.
    private var slots: [UInt64: (symbol: UInt32, origin: Label.Origin)] = [:]
    /// The resolvers of IFUNCs without a symbol, by a stub's number.
    private(set) var resolvers: [LinkAddress] = []

    init(_ code: CodeMap, _ relocations: [Relocation]) {
        self.code = code
        guard code.regions.contains(where: Self.isPLT) else { return }
        for relocation in relocations {
            switch relocation.type {
            case .jumpSlot, .globalData:
                slots[relocation.offset.rawValue] = (relocation.symbolIndex, .pltSymbol)
            case .indirectRelative:
                slots[relocation.offset.rawValue] = (UInt32(resolvers.count), .pltResolver)
                resolvers.append(
                    LinkAddress(rawValue: UInt64(bitPattern: relocation.addend)))
            default: break
            }
        }
    }

    static func isPLT(_ region: CodeRegion) -> Bool {
        region.name.hasPrefix(".plt") || region.name == ".iplt"
    }

    func stubs() -> [PLTStub] {
        code.regions.filter(Self.isPLT).flatMap(stubs)
    }

    private func stubs(in region: CodeRegion) -> [PLTStub] {
        // 8 is that of .plt.got; linkers that give no size use 16.
        let size = [8, 16].contains(region.entrySize) ? Int(region.entrySize) : 16
        return stride(from: 0, to: region.bytes.count - size + 1, by: size).map { offset in
            let slot = slot(ofStubAt: offset, in: region, size).flatMap { slots[$0] }
            return PLTStub(
                address: region.start + UInt64(offset), size: UInt64(size),
                symbol: slot?.symbol ?? 0, origin: slot?.origin ?? .none)
        }
    }

    /// The slot that a stub jumps through: `jmp *slot(%rip)`, ff 25.
    private func slot(ofStubAt start: Int, in region: CodeRegion, _ size: Int) -> UInt64? {
        var position = start
        while position < start + size {
            guard let shape = InstructionShape(region.bytes, at: position) else { return nil }
            let opcode = position + Int(shape.raw.opcode_offset)
            position += shape.length
            if region.bytes.load(opcode, as: UInt16.self) == 0x25ff,
                let displacement = region.bytes.load(opcode + 2, as: Int32.self)
            {
                return region.start &+ UInt64(position)
                    &+ UInt64(bitPattern: Int64(displacement))
            }
        }
        return nil
    }
}
