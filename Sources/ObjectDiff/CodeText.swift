import Addresses
import ELFImage
import Patchability

/// One instruction of a section, or what cannot be decoded up to the section's end.
struct CodeLine {
    let offset: Int
    let length: Int
    /// nil for what is not known to be an instruction.
    let shape: InstructionShape?

    var end: Int { offset + length }
    var isPadding: Bool { shape?.isPadding ?? false }
}

/// A direct branch without its displacement: the short and the long form of a jump
/// are one.
struct Branch: Equatable {
    enum Kind: Equatable {
        case call
        case jump
        case conditional(UInt8)
        /// loop, jrcxz and the like, which have a short form only.
        case counting(UInt8)
    }

    let kind: Kind
    /// Where the displacement stands, from the instruction's start.
    let field: Int
    let size: Int

    /// nil where the instruction at `offset` is no direct branch.
    init?(_ line: CodeLine, in bytes: ByteView) {
        guard let shape = line.shape, let size = shape.branchDisplacementSize,
            let opcode = bytes[line.offset + shape.opcodeOffset]
        else { return nil }
        // SDM vol. 2: CALL e8, JMP e9 and eb, Jcc 70–7f and 0f 80–8f, LOOP e0–e2,
        // JRCXZ e3.
        switch opcode {
        case 0xe8: kind = .call
        case 0xe9, 0xeb: kind = .jump
        case 0x70...0x7f: kind = .conditional(opcode & 0xf)
        case 0xe0...0xe3: kind = .counting(opcode)
        case 0x0f:
            guard let second = bytes[line.offset + shape.opcodeOffset + 1],
                second & 0xf0 == 0x80
            else { return nil }
            kind = .conditional(second & 0xf)
        default: return nil
        }
        self.size = size
        field = line.length - size
    }

    /// How far from the end of the instruction it leads.
    func distance(_ line: CodeLine, in bytes: ByteView) -> Int64 {
        let place = line.offset + field
        if size == 1 { return Int64(bytes.load(place, as: Int8.self) ?? 0) }
        return Int64(bytes.load(place, as: Int32.self) ?? 0)
    }
}

/// Reads one instruction after the other.
struct CodeReader {
    let bytes: ByteView
    private(set) var offset = 0

    init(_ bytes: ByteView) { self.bytes = bytes }

    var isAtEnd: Bool { offset >= bytes.count }

    /// The next instruction, which stays the next.
    var line: CodeLine? {
        guard !isAtEnd else { return nil }
        guard let shape = InstructionShape(bytes, at: offset),
            shape.length <= bytes.count - offset
        else { return CodeLine(offset: offset, length: bytes.count - offset, shape: nil) }
        return CodeLine(offset: offset, length: shape.length, shape: shape)
    }

    mutating func skip(_ line: CodeLine) { offset = line.end }

    /// Goes on at `offset`, which is not before where it is.
    mutating func skip(to offset: Int) { self.offset = max(self.offset, offset) }

    /// Goes on behind nops and int3.
    mutating func skipPadding() {
        while let line, line.isPadding { skip(line) }
    }
}

/// Reads two codes side by side, instruction by instruction.
struct CodePairReader {
    private(set) var first: CodeReader
    private(set) var second: CodeReader

    init(_ first: ByteView, _ second: ByteView) {
        self.first = CodeReader(first)
        self.second = CodeReader(second)
    }

    /// The next instruction of each; nil where one is at its end. Padding is passed over
    /// where it differs, since alignment depends on the lengths of what stands before;
    /// unless it is no padding but what became of an instruction.
    mutating func next(
        orWhere isPair: (CodeLine, CodeLine) -> Bool = { _, _ in false }
    ) -> (CodeLine, CodeLine)? {
        while let a = first.line, let b = second.line {
            let isPadded = a.isPadding != b.isPadding || a.isPadding && a.length != b.length
            guard isPadded, !isPair(a, b) else {
                first.skip(a)
                second.skip(b)
                return (a, b)
            }
            first.skipPadding()
            second.skipPadding()
            guard first.offset > a.offset || second.offset > b.offset else { return nil }
        }
        return nil
    }

    mutating func skip(toFirst offset: Int, second other: Int) {
        first.skip(to: offset)
        second.skip(to: other)
    }

    /// Whether nothing but padding is left of both.
    mutating func reachesEnds() -> Bool {
        first.skipPadding()
        second.skipPadding()
        return first.isAtEnd && second.isAtEnd
    }
}

/// Which offset of one code stands for which of another, where both have the same
/// instructions, some of them of another length.
struct OffsetMap {
    /// The instructions at which the difference between the two changes.
    private var steps: [(from: Int, to: Int)] = [(0, 0)]

    /// Offsets come in order.
    mutating func add(_ from: Int, _ to: Int) {
        guard let last = steps.last, to - from != last.to - last.from else { return }
        steps.append((from, to))
    }

    /// Whether every offset stands for itself.
    var isIdentity: Bool { steps.allSatisfy { $0.from == $0.to } }

    subscript(offset: Int) -> Int {
        let next = steps.partitioningIndex { $0.from <= offset }
        let step = steps[max(next - 1, 0)]
        // What leads out of the code may be anything.
        return offset &+ step.to &- step.from
    }
}
