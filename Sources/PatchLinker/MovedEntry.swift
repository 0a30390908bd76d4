import Addresses
import Patchability

/// The first instructions of a function as they run at another place: the way to
/// call a function whose entry a detour has overwritten.
///
/// An instruction that does not mention its own address is taken as it is. A
/// rip-relative operand and a branch get a new displacement, short branches in
/// their long form; one that leads to an instruction that is moved leads to its
/// moved copy. Behind the last stands a jump to the rest of the function, which
/// runs where it always did.
public struct MovedEntry: Sendable {
    /// How many bytes of whole instructions were taken, from the site on.
    public let covered: Int
    /// Bytes of machine code, the same at every address.
    public let size: Int
    private let pieces: [Piece]

    /// Takes whole instructions until `length` bytes are covered, or control ends
    /// there before (in a `ret` or a jump) and nothing leads further.
    ///
    /// - Parameter code: the function's bytes from the site on. There may be more
    ///   of them than are covered, its padding included.
    public init(code: [UInt8], covering length: Int) throws(MoveRefusal) {
        let entry = try EntryInstructions(code: code, covering: length)
        covered = entry.covered
        // endbr64: its address may be taken.
        var pieces = [Piece(head: [0xf3, 0x0f, 0x1e, 0xfa])]
        // Where each instruction goes, by its offset from the site.
        var places: [Int64: Int] = [:]
        var size = pieces[0].size
        for instruction in entry.instructions {
            places[Int64(instruction.offset)] = size
            size += Piece(instruction, places).size
        }
        pieces += entry.instructions.map { Piece($0, places) }
        if entry.fallsThrough {
            let jump = Piece(head: [0xe9], target: .fixed(Int64(covered)))  // jmp rel32
            pieces.append(jump)
            size += jump.size
        }
        self.pieces = pieces
        self.size = size
    }

    /// The machine code for `address`, of instructions that stand at `site`; nil
    /// where something that they name is not within ±2 GiB.
    public func code(at address: RemoteAddress, movedFrom site: RemoteAddress) -> [UInt8]? {
        var code: [UInt8] = []
        code.reserveCapacity(size)
        for piece in pieces {
            code += piece.head
            guard let target = piece.target else { continue }
            let goal: RemoteAddress? =
                switch target {
                case .fixed(let distance): site.offset(by: distance)
                case .moved(let offset): address.offset(by: Int64(offset))
                }
            guard let goal,
                let end = address.offset(by: Int64(code.count + 4 + piece.tail.count)),
                let displacement = Rel32(fromEnd: end, to: goal)
            else { return nil }
            code += displacement.bytes + piece.tail
        }
        return code
    }
}

/// Machine code with one displacement in it at most.
private struct Piece: Sendable {
    enum Target: Sendable {
        /// What lies so many bytes from the site.
        case fixed(Int64)
        /// A moved instruction, by its offset in the moved code.
        case moved(Int)
    }

    /// What stands before the displacement, or everything.
    let head: [UInt8]
    /// What the displacement leads to; nil where there is none.
    let target: Target?
    /// What stands behind it in the same instruction: an immediate.
    let tail: [UInt8]

    var size: Int { head.count + (target == nil ? 0 : 4) + tail.count }

    init(head: [UInt8], target: Target? = nil, tail: [UInt8] = []) {
        self.head = head
        self.target = target
        self.tail = tail
    }

    /// The instruction as it is moved, its size being the same whatever `places`
    /// holds: where moved instructions are, by their offsets from the site.
    init(_ instruction: EntryInstruction, _ places: [Int64: Int]) {
        let target: Target
        switch instruction.target {
        case nil:
            self.init(head: instruction.bytes)
            return
        case .address(let distance): target = .fixed(distance)
        case .code(let distance): target = places[distance].map(Target.moved) ?? .fixed(distance)
        }
        let bytes = instruction.bytes
        if let place = instruction.decoded.ripDisplacementOffset {
            self.init(
                head: Array(bytes[..<place]), target: target, tail: Array(bytes[(place + 4)...]))
        } else {
            self.init(head: Self.branch(instruction), target: target)
        }
    }

    /// A direct branch up to its displacement of four bytes.
    private static func branch(_ instruction: EntryInstruction) -> [UInt8] {
        guard instruction.decoded.branchDisplacementSize == 1 else {
            return instruction.bytes.dropLast(4)
        }
        let opcode = instruction.opcode
        switch opcode {
        case 0xeb:  // jmp rel8: jmp rel32
            return instruction.prefixes + [0xe9]
        case 0x70...0x7f:  // jcc rel8: jcc rel32
            return instruction.prefixes + [0x0f, opcode + 0x10]
        default:
            // loop, loope, loopne, jrcxz and jecxz have no long form:
            //     jrcxz 1f;  jmp 2f;  1: jmp rel32;  2:
            return instruction.prefixes + [opcode, 2, 0xeb, 5, 0xe9]
        }
    }
}
