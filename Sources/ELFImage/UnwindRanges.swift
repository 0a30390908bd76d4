import Addresses

/// A range of code with unwind information of its own.
public struct UnwindRange: Hashable, Sendable {
    public let range: AddressRange<LinkAddress>
    /// Whether a frame stands already where it starts: no function starts there,
    /// but a part of one that the compiler has moved away (`.cold`).
    public let startsInsideFrame: Bool
}

/// Reads the function ranges of .eh_frame (LSB, "Exception Frames"): each FDE
/// gives a start and a length, in an encoding that its CIE names.
struct UnwindRangeReader {
    private let bytes: ByteView
    /// Where the section is loaded: pointers are mostly relative to their place.
    private let address: UInt64
    private let name: String
    /// What is needed of each CIE seen, by its offset.
    private var known: [Int: CIE] = [:]
    private var last = (offset: -1, cie: CIE(encoding: 0, hasAugmentation: false))

    private struct CIE {
        /// How addresses are written (`R` of the augmentation).
        let encoding: UInt8
        /// Whether its FDEs have augmentation data, with their length before them.
        let hasAugmentation: Bool
    }

    init(_ bytes: ByteView, at address: LinkAddress, of name: String) {
        self.bytes = bytes
        self.address = address.rawValue
        self.name = name
    }

    /// Every non-empty range, in the order of the section.
    mutating func ranges() throws(ELFError) -> [UnwindRange] {
        var found: [UnwindRange] = []
        // A typical entry with its padding takes some 50 bytes.
        found.reserveCapacity(bytes.count / 48)
        var position = 0
        while let short = bytes.load(position, as: UInt32.self) {
            // A length of zero ends the list of one input file. More may follow
            // where a linker put the end marker's file before others.
            if short == 0 {
                position += 4
                continue
            }
            var body = position + 4
            var length = UInt64(short)
            if short == .max {
                guard let long = bytes.load(body, as: UInt64.self) else {
                    throw malformed("an entry is cut short", position)
                }
                length = long
                body += 8
            }
            guard let size = Int(exactly: length), size <= bytes.count - body else {
                throw malformed("an entry passes the section's end", position)
            }
            if let range = try range(body, end: body + size) { found.append(range) }
            position = body + size
        }
        return found
    }

    /// The range of the FDE whose identifying field stands at `body`; nil for a
    /// CIE, and for a function that the linker has discarded.
    private mutating func range(
        _ body: Int, end: Int
    ) throws(ELFError) -> UnwindRange? {
        guard let pointer = bytes.load(body, as: UInt32.self) else {
            throw malformed("an entry is cut short", body)
        }
        if pointer == 0 { return nil }
        let cie = try cie(at: body - Int(pointer), usedAt: body)
        var cursor = Cursor(bytes, at: body + 4, end: end)
        let place = address &+ UInt64(body + 4)
        // The length has the start's format without its base (LSB, "FDE").
        guard let raw = cursor.pointer(cie.encoding),
            let count = cursor.pointer(cie.encoding & 0x0f)
        else {
            throw malformed("an address has an unknown encoding", body)
        }
        let start: UInt64
        switch cie.encoding & 0x70 {
        case 0x00: start = raw
        case 0x10: start = place &+ raw
        default: throw malformed("an address has an unknown base", body)
        }
        if count == 0 || raw == 0 { return nil }
        if cie.hasAugmentation { cursor.skip(Int(clamping: cursor.uleb() ?? 0)) }
        return AddressRange(start: LinkAddress(rawValue: start), count: count).map {
            UnwindRange(range: $0, startsInsideFrame: Self.changesFrame(cursor.byte() ?? 0))
        }
    }

    /// Whether the first instruction of an FDE says that the frame is not the one
    /// of a function's entry (DWARF 5, 6.4.2): DW_CFA_offset, def_cfa,
    /// def_cfa_register, def_cfa_offset, def_cfa_expression, remember_state.
    private static func changesFrame(_ instruction: UInt8) -> Bool {
        instruction & 0xc0 == 0x80 || [0x0a, 0x0c, 0x0d, 0x0e, 0x0f].contains(instruction)
    }

    private mutating func cie(at offset: Int, usedAt user: Int) throws(ELFError) -> CIE {
        if last.offset == offset { return last.cie }
        guard let cie = known[offset] ?? readCIE(at: offset) else {
            throw malformed("an entry names no valid CIE", user)
        }
        known[offset] = cie
        last = (offset, cie)
        return cie
    }

    private func readCIE(at offset: Int) -> CIE? {
        guard offset >= 0, let short = bytes.load(offset, as: UInt32.self) else { return nil }
        let body = offset + (short == .max ? 12 : 4)
        let length =
            short == .max ? bytes.load(offset + 4, as: UInt64.self) : UInt64(short)
        guard let size = length.flatMap(Int.init(exactly:)), size <= bytes.count - body,
            bytes.load(body, as: UInt32.self) == 0
        else { return nil }
        var cursor = Cursor(bytes, at: body + 4, end: body + size)
        guard let version = cursor.byte(), [1, 3, 4].contains(version),
            let augmentation = cursor.cString()
        else { return nil }
        if version == 4 { cursor.skip(2) }
        guard cursor.uleb() != nil, cursor.uleb() != nil,
            (version == 1 ? cursor.byte().map(UInt64.init) : cursor.uleb()) != nil
        else { return nil }
        // Without 'z' the pointers are absolute (DW_EH_PE_absptr).
        guard augmentation.first == UInt8(ascii: "z"), cursor.uleb() != nil else {
            return augmentation.isEmpty ? CIE(encoding: 0, hasAugmentation: false) : nil
        }
        return Self.encoding(in: augmentation.dropFirst(), &cursor).map {
            CIE(encoding: $0, hasAugmentation: true)
        }
    }

    private static func encoding(
        in augmentation: ArraySlice<UInt8>, _ cursor: inout Cursor
    ) -> UInt8? {
        for letter in augmentation {
            switch letter {
            case UInt8(ascii: "R"): return cursor.byte()
            case UInt8(ascii: "L"): cursor.skip(1)
            case UInt8(ascii: "P"):
                guard let encoding = cursor.byte(), cursor.pointer(encoding) != nil else {
                    return nil
                }
            // 'S' marks a signal frame, 'B' a signed return address: no data.
            case UInt8(ascii: "S"), UInt8(ascii: "B"): continue
            default: return nil
            }
        }
        return 0
    }

    private func malformed(_ rule: String, _ position: Int) -> ELFError {
        .malformed(
            name: name, part: "section .eh_frame", rule: rule, value: UInt64(clamping: position))
    }
}

/// Reads forward, never past `end`.
private struct Cursor {
    private let bytes: ByteView
    private var position: Int
    private let end: Int

    init(_ bytes: ByteView, at position: Int, end: Int) {
        self.bytes = bytes
        self.position = position
        self.end = min(end, bytes.count)
    }

    mutating func skip(_ count: Int) {
        position = count > end - position ? end : position + max(count, 0)
    }

    mutating func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) -> T? {
        guard position <= end, MemoryLayout<T>.size <= end - position else { return nil }
        defer { position += MemoryLayout<T>.size }
        return bytes.load(position, as: type)
    }

    mutating func byte() -> UInt8? { load(UInt8.self) }

    mutating func cString() -> [UInt8]? {
        var text: [UInt8] = []
        while let byte = byte() {
            if byte == 0 { return text }
            text.append(byte)
        }
        return nil
    }

    mutating func uleb() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = byte() {
            if shift < 64 { value |= UInt64(byte & 0x7f) << shift }
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        return nil
    }

    /// A value in the format of a DW_EH_PE encoding, without its base; signed
    /// formats are extended.
    mutating func pointer(_ encoding: UInt8) -> UInt64? {
        switch encoding & 0x0f {
        case 0x00, 0x04: load(UInt64.self)
        case 0x01: uleb()
        case 0x02: load(UInt16.self).map(UInt64.init)
        case 0x03: load(UInt32.self).map(UInt64.init)
        case 0x0a: load(Int16.self).map { UInt64(bitPattern: Int64($0)) }
        case 0x0b: load(Int32.self).map { UInt64(bitPattern: Int64($0)) }
        case 0x0c: load(Int64.self).map { UInt64(bitPattern: $0) }
        default: nil
        }
    }
}

extension ELFImage {
    /// The ranges of code that .eh_frame describes, in its order: functions, or
    /// parts of them. None in a relocatable object, where they are not known yet,
    /// and in a separate debug file.
    public func unwindRanges() throws(ELFError) -> [UnwindRange] {
        guard kind != .relocatable, let section = section(named: ".eh_frame"),
            section.type != .noBits
        else { return [] }
        var reader = UnwindRangeReader(try bytes(of: section), at: section.address, of: name)
        return try reader.ranges()
    }
}
