import Addresses
import CELF

/// A place that is computed when the object is linked or loaded.
public struct Relocation: Hashable, Sendable {
    /// An address; in a relocatable object an offset into the section that the
    /// relocation section's `info` names.
    public let offset: LinkAddress
    /// `R_X86_64_…` (psABI, "Relocation Types").
    public let type: RelocationType
    /// Into the linked symbol table; zero for none.
    public let symbolIndex: UInt32
    public let addend: Int64
}

/// `R_X86_64_…`.
public struct RelocationType: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let absolute64 = Self(rawValue: UInt32(R_X86_64_64))
    public static let relative = Self(rawValue: UInt32(R_X86_64_RELATIVE))
    public static let indirectRelative = Self(rawValue: UInt32(R_X86_64_IRELATIVE))
    public static let jumpSlot = Self(rawValue: UInt32(R_X86_64_JUMP_SLOT))
    public static let globalData = Self(rawValue: UInt32(R_X86_64_GLOB_DAT))
    public static let copy = Self(rawValue: UInt32(R_X86_64_COPY))
}

extension ELFImage {
    /// The relocations of one section (SHT_RELA or SHT_RELR), in order.
    public func relocations(in section: Section) throws(ELFError) -> [Relocation] {
        let part = "section \(section.name)"
        switch section.type {
        case .relocationsWithAddends:
            return try decodeRela(try bytes(of: section), part)
        case .relativeRelocations:
            return try decodeRelr(try bytes(of: section), part)
        default:
            // The psABI has relocations with explicit addends only.
            throw .malformed(
                name: name, part: part, rule: "not a kind of relocations that x86-64 has",
                value: UInt64(section.type.rawValue))
        }
    }

    /// All that the loader relocates: DT_RELA, DT_RELR and DT_JMPREL; in a static
    /// program without a dynamic section the loaded relocation sections, which its
    /// start-up code applies.
    public func dynamicRelocations() throws(ELFError) -> [Relocation] {
        guard dynamic.isPresent else {
            var all: [Relocation] = []
            guard kind != .relocatable, !isSeparateDebugFile else { return all }
            for section in sections
            where section.type == .relocationsWithAddends && section.flags.contains(.allocated) {
                all += try relocations(in: section)
            }
            return all
        }
        var all = try decodeRela(try dynamicTable(DT_RELA, size: DT_RELASZ), "DT_RELA")
        // DT_RELR and DT_RELRSZ: 36 and 35 (gABI proposal, glibc 2.36).
        all += try decodeRelr(try dynamicTable(36, size: 35), "DT_RELR")
        let jumps = try dynamicTable(DT_JMPREL, size: DT_PLTRELSZ)
        // Some linkers count the jump slots in DT_RELASZ as well.
        if !jumpSlotsAreCounted() { all += try decodeRela(jumps, "DT_JMPREL") }
        return all
    }

    private func jumpSlotsAreCounted() -> Bool {
        guard let rela = dynamic.value(DT_RELA), let size = dynamic.value(DT_RELASZ),
            let jumps = dynamic.value(DT_JMPREL)
        else { return false }
        return jumps >= rela && jumps - rela < size
    }

    private func dynamicTable(_ tag: Int32, size sizeTag: Int32) throws(ELFError) -> ByteView {
        guard let address = dynamic.value(tag), let size = dynamic.value(sizeTag), size > 0 else {
            return .empty
        }
        guard let range = AddressRange(start: LinkAddress(rawValue: address), count: size) else {
            throw .malformed(
                name: name, part: "the dynamic section",
                rule: "a relocation table passes the end of the address space", value: size)
        }
        return try bytes(at: range)
    }

    private func decodeRela(_ bytes: ByteView, _ part: String) throws(ELFError) -> [Relocation] {
        let size = MemoryLayout<Elf64_Rela>.size
        guard bytes.count % size == 0 else {
            throw .malformed(
                name: name, part: part, rule: "the size is not a multiple of 24",
                value: UInt64(bytes.count))
        }
        return unsafe bytes.withUnsafeBytes { bytes in
            (0..<bytes.count / size).map { index in
                let raw = unsafe bytes.loadUnaligned(
                    fromByteOffset: index * size, as: Elf64_Rela.self)
                return Relocation(
                    offset: LinkAddress(rawValue: raw.r_offset),
                    type: RelocationType(rawValue: UInt32(truncatingIfNeeded: raw.r_info)),
                    symbolIndex: UInt32(truncatingIfNeeded: raw.r_info >> 32),
                    addend: raw.r_addend)
            }
        }
    }

    /// An even word is an address, an odd one a bit map over the 63 words behind
    /// (gABI proposal, "Relative relocation table"). The addend is in place.
    private func decodeRelr(_ bytes: ByteView, _ part: String) throws(ELFError) -> [Relocation] {
        guard bytes.count % 8 == 0 else {
            throw .malformed(
                name: name, part: part, rule: "the size is not a multiple of 8",
                value: UInt64(bytes.count))
        }
        var places: [UInt64] = []
        var next: UInt64 = 0
        for index in 0..<bytes.count / 8 {
            let word = bytes.load(index * 8, as: UInt64.self) ?? 0
            if word & 1 == 0 {
                places.append(word)
                next = word &+ 8
            } else {
                for bit in 1..<64 where word >> UInt64(bit) & 1 == 1 {
                    places.append(next &+ UInt64(bit - 1) * 8)
                }
                next = next &+ 63 * 8
            }
        }
        let reader = WordReader(self)
        var relocations: [Relocation] = []
        relocations.reserveCapacity(places.count)
        for place in places {
            relocations.append(
                Relocation(
                    offset: LinkAddress(rawValue: place), type: .relative, symbolIndex: 0,
                    addend: Int64(bitPattern: try reader.word(at: LinkAddress(rawValue: place)))))
        }
        return relocations
    }
}

/// Reads single words, with the last section kept between reads.
private final class WordReader {
    private let image: ELFImage
    private var current: (range: AddressRange<LinkAddress>, bytes: ByteView)?

    init(_ image: ELFImage) { self.image = image }

    func word(at address: LinkAddress) throws(ELFError) -> UInt64 {
        if let word = current.flatMap({ load(address, $0) }) { return word }
        if let section = image.section(at: address), section.type != .noBits,
            let range = section.range
        {
            let found = (range, try image.bytes(of: section))
            current = found
            if let word = load(address, found) { return word }
        }
        guard let range = AddressRange(start: address, count: 8) else {
            throw .malformed(
                name: image.name, part: "the relative relocations",
                rule: "an address passes the end of the space", value: address.rawValue)
        }
        return try image.bytes(at: range).load(0, as: UInt64.self) ?? 0
    }

    private func load(
        _ address: LinkAddress, _ place: (range: AddressRange<LinkAddress>, bytes: ByteView)
    ) -> UInt64? {
        guard let offset = address.distance(from: place.range.start),
            let position = Int(exactly: offset)
        else { return nil }
        return place.bytes.load(position, as: UInt64.self)
    }
}
