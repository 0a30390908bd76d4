import Addresses
import ELFImage
import Patchability

/// Two functions instruction by instruction: what is the same in both whatever
/// they refer to, and what has to be looked at further.
struct CodeComparison {
    /// A relocation of each side that stands at the same place of the same
    /// instruction, with the distance from its field to where it counts from.
    struct References {
        let before: Relocation
        let after: Relocation
        let beforeLead: Int64
        let afterLead: Int64
        /// Where the instructions start.
        let place: (before: Int, after: Int)
    }

    /// Two instructions that differ in one number.
    struct Numbers {
        let place: (before: Int, after: Int)
        let before: Int64
        let after: Int64
    }

    /// The first instructions that are not the same.
    struct Difference: Error {
        let before: Int
        let after: Int
    }

    private(set) var references: [References] = []
    private(set) var numbers: [Numbers] = []
    private(set) var map = OffsetMap()
    /// Places of both that are the same only where the map says so.
    private var places: [(before: Int64, after: Int64, at: Difference)] = []

    private let before: Atom
    private let after: Atom
    private let decoder: InstructionDecoder

    init(_ before: Atom, _ after: Atom, decoder: InstructionDecoder) throws(Difference) {
        self.before = before
        self.after = after
        self.decoder = decoder
        var reader = CodePairReader(before.bytes, after.bytes)
        while let (a, b) = reader.next() {
            map.add(a.offset, b.offset)
            try compare(a, b)
        }
        guard reader.reachesEnds() else {
            throw Difference(before: reader.first.offset, after: reader.second.offset)
        }
        for place in places {
            // A place outside is compared by its distance from the code.
            let inside = before.bytes.count
            let mapped =
                (0..<Int64(inside)).contains(place.before)
                ? Int64(map[Int(place.before)]) : place.before
            guard mapped == place.after else { throw place.at }
        }
    }

    private mutating func compare(_ a: CodeLine, _ b: CodeLine) throws(Difference) {
        let difference = Difference(before: a.offset, after: b.offset)
        let ours = before.relocations(in: a.offset..<a.end)
        let theirs = after.relocations(in: b.offset..<b.end)
        if let old = Branch(a, in: before.bytes), let new = Branch(b, in: after.bytes),
            ours.isEmpty, theirs.isEmpty
        {
            guard old.kind == new.kind else { throw difference }
            places.append(
                (
                    Int64(a.end) + old.distance(a, in: before.bytes),
                    Int64(b.end) + new.distance(b, in: after.bytes), difference
                ))
            return
        }
        guard ours.count == theirs.count else { throw difference }
        guard a.length == b.length else {
            // The number may take another size.
            guard ours.isEmpty else { throw difference }
            return try compareNumbers(a, b)
        }
        var fields: [Range<Int>] = []
        for (old, new) in zip(ours, theirs) {
            fields.append(try pair(old, new, a, b))
        }
        if let field = a.shape?.ripDisplacementOffset, ours.isEmpty,
            field == b.shape?.ripDisplacementOffset
        {
            fields.append(field..<field + 4)
            places.append((place(a, field, in: before), place(b, field, in: after), difference))
        }
        guard !isSame(a, b, besides: fields) else { return }
        guard ours.isEmpty else { throw difference }
        try compareNumbers(a, b)
    }

    /// Where a rip-relative operand leads to that has no relocation: a place in the
    /// same section.
    private func place(_ line: CodeLine, _ field: Int, in atom: Atom) -> Int64 {
        Int64(line.end) + Int64(atom.bytes.load(line.offset + field, as: Int32.self) ?? 0)
    }

    /// Notes a pair of relocations and returns the bytes of the instruction that they
    /// fill in.
    private mutating func pair(
        _ old: Relocation, _ new: Relocation, _ a: CodeLine, _ b: CodeLine
    ) throws(Difference) -> Range<Int> {
        let start = Int(clamping: old.offset.rawValue) - a.offset
        guard start == Int(clamping: new.offset.rawValue) - b.offset, old.type == new.type,
            let kind = RelocationKind(rawValue: old.type.rawValue)
        else { throw Difference(before: a.offset, after: b.offset) }
        let lead = kind.isPCRelative ? Int64(a.length - start) : 0
        references.append(
            References(
                before: old, after: new, beforeLead: lead, afterLead: lead,
                place: (a.offset, b.offset)))
        return start..<start + kind.width
    }

    private func isSame(_ a: CodeLine, _ b: CodeLine, besides fields: [Range<Int>]) -> Bool {
        (0..<a.length).allSatisfy { index in
            fields.contains { $0.contains(index) }
                || before.bytes[a.offset + index] == after.bytes[b.offset + index]
        }
    }

    private func hasSamePrefixes(_ a: CodeLine, _ b: CodeLine) -> Bool {
        let count = a.shape?.opcodeOffset ?? 0
        return count == b.shape?.opcodeOffset ?? 0
            && (0..<count).allSatisfy {
                before.bytes[a.offset + $0] == after.bytes[b.offset + $0]
            }
    }

    /// Instructions with the same operation and operands, but for one number.
    private mutating func compareNumbers(_ a: CodeLine, _ b: CodeLine) throws(Difference) {
        let difference = Difference(before: a.offset, after: b.offset)
        guard let old = decoder.decode(before.bytes, at: a.offset),
            let new = decoder.decode(after.bytes, at: b.offset), old.opcode == new.opcode,
            old.opcode != .unknown, hasSamePrefixes(a, b)
        else { throw difference }
        var found: (Int64, Int64)?
        let (these, those) = (old.operands, new.operands)
        guard these.count == those.count else { throw difference }
        for (one, other) in zip(these, those) where one != other {
            guard case .immediate(let was) = one, case .immediate(let new) = other, found == nil
            else { throw difference }
            found = (was, new)
        }
        guard let found else { throw difference }
        numbers.append(
            Numbers(place: (a.offset, b.offset), before: found.0, after: found.1))
    }
}

/// Decodes single instructions of a section, as if it stood at address 0.
final class InstructionDecoder {
    private let decoder: Decoder

    init() throws(DecoderUnavailable) { decoder = try Decoder() }

    func decode(_ bytes: ByteView, at offset: Int) -> Instruction<LinkAddress>? {
        decoder.decode(bytes, at: offset, address: LinkAddress(rawValue: UInt64(offset)))
    }

    func text(_ bytes: ByteView, at offset: Int, address: LinkAddress) -> String {
        decoder.text(bytes, at: offset, address: address)
    }
}
