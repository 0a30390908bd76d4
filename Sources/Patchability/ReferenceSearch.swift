import Addresses
import CDecoder
import ELFImage

/// Finds all that could lead to the inside of a site.
///
/// Code is searched byte by byte for displacements that lead there, whether or
/// not an instruction starts at that byte, so nothing can be missed. The few that
/// are found are looked at again: the function around them is walked through from
/// its start to see whether the instruction is real. In code that belongs to no
/// function, and in functions that cannot be decoded, it counts as real.
struct ReferenceSearch: ~Copyable {
    private let code: CodeMap
    private let rows: [FunctionRow]
    private let marks: AddressMarks
    private let decoder: Decoder
    private(set) var references: [Reference] = []

    init(
        _ code: CodeMap, _ rows: [FunctionRow], _ marks: AddressMarks
    ) throws(DecoderUnavailable) {
        self.code = code
        self.rows = rows
        self.marks = marks
        decoder = try Decoder()
    }

    /// Searches the code. `tables` are the read-only data that jump tables lie in.
    mutating func searchCode(tables: [CodeRegion]) {
        let finder = CandidateFinder(marks: marks, tables: tables)
        for region in code.regions {
            var walker = FunctionWalker(region)
            for candidate in finder.candidates(in: region) {
                references += verified(candidate, in: region, &walker, tables)
            }
        }
    }

    /// Takes a word of the data, or a relocation's value, that points to the
    /// inside of a site.
    mutating func takePointer(at place: UInt64, to target: UInt64) {
        if marks.contains(target) {
            references.append(Reference(kind: .pointer, from: place, target: target))
        }
    }

    /// Searches data for addresses: in an object that is linked at a fixed address
    /// they stand there as they are. At any alignment, since assemblers may pack
    /// them.
    mutating func searchWords(inData region: CodeRegion) {
        for (place, target) in words(UInt64.self, in: region) {
            takePointer(at: place, to: target)
        }
    }

    /// The same in code, where an instruction may have one as its operand; those
    /// of 32 bits are the lower halves of those of 64 as well.
    mutating func searchWords(inCode region: CodeRegion) {
        var walker = FunctionWalker(region)
        for (place, target) in words(UInt32.self, in: region)
        where isOperand(place, in: region, &walker) {
            references.append(Reference(kind: .address, from: place, target: target))
        }
    }

    private func words<Word: FixedWidthInteger & BitwiseCopyable>(
        _ type: Word.Type, in region: CodeRegion
    ) -> [(place: UInt64, target: UInt64)] {
        unsafe region.bytes.withUnsafeBytes { bytes in
            var found: [(UInt64, UInt64)] = []
            guard bytes.count >= MemoryLayout<Word>.size else { return found }
            for offset in 0...bytes.count - MemoryLayout<Word>.size {
                let word = unsafe UInt64(
                    bytes.loadUnaligned(fromByteOffset: offset, as: Word.self))
                if word >= code.low, word < code.high, marks.contains(word) {
                    found.append((region.start + UInt64(offset), word))
                }
            }
            return found
        }
    }

    // MARK: - Looking again

    /// What stands at an address.
    private enum Finding {
        case instruction(start: UInt64, cdecoder_shape)
        /// Padding between functions.
        case padding
        /// Code that belongs to no function, or that cannot be decoded.
        case unknown
    }

    private func finding(at place: UInt64, _ walker: inout FunctionWalker) -> Finding {
        if let row = rows.function(containing: place) {
            guard
                let found = walker.instruction(covering: place, from: rows[row].start)
            else { return .unknown }
            return .instruction(start: found.start, found.shape)
        }
        guard let before = rows.lastFunction(upTo: place),
            walker.isPadding(from: rows[before].end, through: place)
        else { return .unknown }
        return .padding
    }

    private func isOperand(
        _ place: UInt64, in region: CodeRegion, _ walker: inout FunctionWalker
    ) -> Bool {
        switch finding(at: place, &walker) {
        case .padding: return false
        case .unknown: return true
        case .instruction(let start, _):
            guard let offset = region.offset(of: start),
                let instruction = decoder.decode(
                    region.bytes, at: offset, address: LinkAddress(rawValue: start)),
                instruction.opcode != .unknown
            else { return true }
            let raw = instruction.raw
            let field = place - start
            // A displacement from rip is no address.
            return raw.displacement_size == 4 && UInt64(raw.displacement_offset) == field
                && instruction.ripRelativeAddress == nil
                || raw.immediate_size >= 4 && UInt64(raw.immediate_offset) == field
                    && instruction.target == nil
        }
    }

    private func verified(
        _ candidate: cdecoder_found, in region: CodeRegion, _ walker: inout FunctionWalker,
        _ tables: [CodeRegion]
    ) -> [Reference] {
        let place = region.start + candidate.position
        let isCertain: Bool
        let from: UInt64
        switch finding(at: place, &walker) {
        case .padding: return []
        case .unknown:
            isCertain = false
            from = place
        case .instruction(let start, let shape):
            guard start + UInt64(shape.opcode_offset) == place else { return [] }
            isCertain = true
            from = start
        }
        switch cdecoder_found_kind(rawValue: candidate.kind) {
        case CDECODER_FOUND_BRANCH:
            return [
                Reference(
                    kind: .branch(isCertain: isCertain), from: from, target: candidate.target)
            ]
        case CDECODER_FOUND_LEA:
            return [Reference(kind: .address, from: from, target: candidate.target)]
        default:
            return entries(of: candidate, usedAt: from, &walker, tables)
        }
    }

    /// The entries of a jump table that lead to the inside of a site of the
    /// function that uses it. A table whose user has no indirect jump is none.
    private func entries(
        of candidate: cdecoder_found, usedAt place: UInt64, _ walker: inout FunctionWalker,
        _ tables: [CodeRegion]
    ) -> [Reference] {
        let row = rows.function(containing: place)
        if let row,
            !walker.hasIndirectJump(from: rows[row].start, to: rows[row].end)
        {
            return []
        }
        guard let table = tables.first(where: { $0.offset(of: candidate.table) != nil }) else {
            return []
        }
        // A table ends where the function's next one starts.
        let limit = row.flatMap {
            walker.addressesTaken(from: rows[$0].start, to: rows[$0].end)
                .filter { $0 > candidate.table }.min()
        }
        var references: [Reference] = []
        var entry = 0
        while let delta = table.bytes.load(
            Int(candidate.table - table.start) + entry * 4, as: Int32.self),
            candidate.table + UInt64(entry) * 4 < limit ?? .max
        {
            let target = candidate.table &+ UInt64(bitPattern: Int64(delta))
            guard code.regionIndex(of: target) != nil else { break }
            if marks.contains(target), mayLead(from: row, to: target) {
                references.append(
                    Reference(
                        kind: .table(address: candidate.table, entry: entry), from: place,
                        target: target))
            }
            entry += 1
        }
        return references
    }

    /// Whether a table of the function number `row` may lead to `target`: to
    /// itself, and from a part that stands apart to its function, wherever that is.
    private func mayLead(from row: Int?, to target: UInt64) -> Bool {
        guard let row, rows[row].kind != .fragment else { return true }
        return rows.function(containing: target).map { $0 == row } ?? true
    }
}

extension [FunctionRow] {
    /// The innermost function that holds `address`. Functions are sorted by their
    /// start.
    func function(containing address: UInt64) -> Int? {
        // An enclosing function starts before the ones that it encloses; few
        // functions enclose more than an entry or two.
        guard let last = lastFunction(upTo: address) else { return nil }
        for index in stride(from: last, through: Swift.max(0, last - 64), by: -1)
        where self[index].contains(address) {
            return index
        }
        return nil
    }

    /// The last function that starts at `address` or before it.
    func lastFunction(upTo address: UInt64) -> Int? {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle].start <= address { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? low - 1 : nil
    }
}
