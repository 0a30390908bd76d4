import Addresses
import LiveProcess

/// The unwind table of code in a process that belongs to no ELF object: of a
/// payload. It has the form of .eh_frame (LSB, "Exception Frames").
///
/// It lies in the target's memory and may be forged. What follows from a wrong
/// one is that a thread counts as busy that is not, or the other way round: the
/// bytes that are rewritten are guarded by the words of the stacks alone.
public struct UnwindTable: Hashable, Sendable {
    /// What the code belongs to, for people.
    public let name: String
    /// The code that the table is for.
    public let code: AddressRange<RemoteAddress>
    /// Where the table itself is.
    public let place: AddressRange<RemoteAddress>
    /// The names of functions, by where they start, as far as they are known.
    public let functions: [RemoteAddress: String]

    public init(
        name: String, code: AddressRange<RemoteAddress>, place: AddressRange<RemoteAddress>,
        functions: [RemoteAddress: String] = [:]
    ) {
        self.name = name
        self.code = code
        self.place = place
        self.functions = functions
    }

    /// No table of ours is longer.
    static let sizeLimit: UInt64 = 16 << 20
    /// So much is read of all tables of a process, which may have forged thousands.
    static let totalLimit: UInt64 = 64 << 20

    /// The table as an ELF object that is loaded where it is linked; nil where it
    /// cannot be read or cannot be one.
    func image(reading process: TargetProcess) -> [UInt8]? {
        guard !code.isEmpty, !place.isEmpty, place.count <= Self.sizeLimit,
            let table = try? process.read(place.start, count: Int(place.count))
        else { return nil }
        return image(of: table)
    }

    /// A header, one loaded segment that spans the code, and one section with the
    /// table (gABI, "Object Files"). The code's own bytes are not in it.
    func image(of table: [UInt8]) -> [UInt8] {
        let names: [UInt8] = [0] + Array(".eh_frame".utf8) + [0]
        let headerSize = 64
        let segmentSize = 56
        let sectionSize = 64
        let tableOffset = headerSize + segmentSize
        let namesOffset = tableOffset + table.count
        let sectionsOffset = (namesOffset + names.count + 7) & ~7

        var image = ImageBytes()
        // ELFCLASS64, ELFDATA2LSB, EV_CURRENT, ELFOSABI_NONE
        image.bytes = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0] + [UInt8](repeating: 0, count: 8)
        image.append(half: 2, 62)  // ET_EXEC, EM_X86_64
        image.append(word: 1)  // EV_CURRENT
        image.append(long: 0, UInt64(headerSize), UInt64(sectionsOffset))
        image.append(word: 0)
        image.append(half: UInt16(headerSize), UInt16(segmentSize), 1, UInt16(sectionSize), 3, 2)
        image.append(word: 1, 5)  // PT_LOAD, PF_R | PF_X
        image.append(long: 0, code.start.rawValue, code.start.rawValue, 0, code.count, 4096)
        image.bytes += table + names
        image.bytes += [UInt8](repeating: 0, count: sectionsOffset - image.bytes.count)
        image.bytes += [UInt8](repeating: 0, count: sectionSize)
        image.append(word: 1, 1)  // .eh_frame, SHT_PROGBITS
        image.append(
            long: 2, place.start.rawValue, UInt64(tableOffset), UInt64(table.count))  // SHF_ALLOC
        image.append(word: 0, 0)
        image.append(long: 8, 0)
        image.append(word: 0, 3)  // no name, SHT_STRTAB
        image.append(long: 0, 0, UInt64(namesOffset), UInt64(names.count))
        image.append(word: 0, 0)
        image.append(long: 1, 0)
        return image.bytes
    }
}

/// Bytes of an ELF file that grow field by field.
private struct ImageBytes {
    var bytes: [UInt8] = []

    mutating func append(half values: UInt16...) { append(values) }
    mutating func append(word values: UInt32...) { append(values) }
    mutating func append(long values: UInt64...) { append(values) }

    private mutating func append<Number: FixedWidthInteger>(_ values: [Number]) {
        for value in values {
            for shift in stride(from: 0, to: Number.bitWidth, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: value >> Number(shift)))
            }
        }
    }
}
