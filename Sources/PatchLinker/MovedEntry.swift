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

    /// Decodes whole instructions until `length` bytes are covered, or control
    /// ends there before (in a `ret` or a jump) and nothing leads further.
    ///
    /// - Parameter code: the function's bytes from the site on. There may be more
    ///   of them than are covered, its padding included.
    public init(code: [UInt8], covering length: Int) throws(MoveRefusal) {
        let steps = try Step.decode(code, covering: length)
        let end = steps.last?.end ?? 0
        // endbr64: its address may be taken.
        var pieces = [Piece(head: [0xf3, 0x0f, 0x1e, 0xfa])]
        var size = pieces[0].size
        var places: [Int: Int] = [:]
        for step in steps {
            places[step.offset] = size
            size += step.piece(leadingTo: .body(0)).size
        }
        for step in steps {
            pieces.append(step.piece(leadingTo: try step.target(covered: end, places)))
        }
        if steps.last?.fallsThrough != false {
            let jump = Piece(head: [0xe9], target: .body(Int64(end)))  // jmp rel32
            pieces.append(jump)
            size += jump.size
        }
        self.pieces = pieces
        self.size = size
        covered = end
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
                case .body(let delta): site.offset(by: delta)
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
        case body(Int64)
        /// A moved instruction, by its offset in the moved code.
        case moved(Int)
    }

    /// What stands before the displacement, or everything.
    let head: [UInt8]
    /// What the displacement leads to; nil where there is none.
    var target: Target?
    /// What stands behind it in the same instruction: an immediate.
    var tail: [UInt8] = []

    var size: Int { head.count + (target == nil ? 0 : 4) + tail.count }
}

/// One instruction of the entry. Addresses count from the site.
private struct Step {
    private typealias Address = RemoteAddress

    let offset: Int
    let bytes: [UInt8]
    private let instruction: Instruction<Address>

    var end: Int { offset + bytes.count }
    private var opcode: UInt8 { bytes[instruction.opcodeOffset] }
    private var prefixes: ArraySlice<UInt8> { bytes[..<instruction.opcodeOffset] }

    /// Where it branches to, or what its operand names.
    private var named: Int64? {
        if let target = instruction.target { return Int64(bitPattern: target.rawValue) }
        guard let place = instruction.ripDisplacementOffset else { return nil }
        let pattern = bytes[place..<place + 4].reversed().reduce(0 as UInt32) {
            $0 << 8 | UInt32($1)
        }
        return Int64(end) + Int64(Int32(bitPattern: pattern))
    }

    var fallsThrough: Bool {
        switch instruction.flow {
        case .jump, .return, .stop: false
        case .next, .conditionalJump, .call, .interrupt: true
        }
    }

    static func decode(
        _ code: [UInt8], covering length: Int
    ) throws(MoveRefusal) -> [Step] {
        let decoder: Decoder
        do throws(DecoderUnavailable) {
            decoder = try Decoder()
        } catch {
            throw .decoderUnavailable
        }
        var steps: [Step] = []
        var offset = 0
        // Where a branch leads within the bytes to cover, the furthest.
        var furthest = 0
        while offset < length {
            let step = try Step(code, at: offset, decoder)
            steps.append(step)
            offset = step.end
            if step.instruction.target != nil, let goal = step.named, goal < length {
                furthest = max(furthest, Int(goal))
            }
            if !step.fallsThrough && furthest < offset { break }
        }
        return steps
    }

    private init(
        _ code: [UInt8], at offset: Int, _ decoder: borrowing Decoder
    ) throws(MoveRefusal) {
        guard offset < code.count else { throw .ends(available: code.count) }
        let address = Address(rawValue: UInt64(offset))
        guard let instruction = decoder.decode(code, at: offset, address: address) else {
            throw .undecodable(offset: offset, bytes: Array(code[offset...].prefix(8)))
        }
        self.offset = offset
        self.instruction = instruction
        bytes = Array(code[offset..<offset + instruction.length])
        try check()
    }

    private func check() throws(MoveRefusal) {
        // int3 and int1 stop in a debugger, which looks for them by address.
        if instruction.flow == .interrupt, opcode == 0xcc || opcode == 0xf1 {
            throw .breakpoint(offset: offset)
        }
        // Of what Capstone knows, its opinion must be that of the quick look.
        if instruction.opcode != .unknown,
            (instruction.ripRelativeAddress == nil) != (instruction.ripDisplacementOffset == nil)
        {
            throw .undecodable(offset: offset, bytes: bytes)
        }
        // 67: the sum is cut to 32 bits.
        if instruction.ripDisplacementOffset != nil, prefixes.contains(0x67) {
            throw .narrowAddress(offset: offset, bytes: bytes)
        }
        // 66: AMD cuts the instruction pointer to 16 bits, but not with REX.W
        // (APM vol. 3, "Operand-Size Override Prefix").
        let branches = instruction.flow != .next && instruction.flow != .interrupt
        if branches, prefixes.contains(0x66), (prefixes.last ?? 0) & 0xf8 != 0x48 {
            throw .narrowBranch(offset: offset, bytes: bytes)
        }
        // 15 bytes at most (SDM vol. 2, 2.3.11).
        if instruction.branchDisplacementSize == 1, prefixes.count > 9 {
            throw .overlong(offset: offset, bytes: bytes)
        }
        // What is called there takes the return address for its own.
        if instruction.flow == .call, instruction.target == instruction.end {
            throw .takesReturnAddress(offset: offset)
        }
    }

    /// What the displacement of the moved instruction has to lead to.
    ///
    /// - Parameter places: the offsets in the moved code, by the original ones.
    func target(covered: Int, _ places: [Int: Int]) throws(MoveRefusal) -> Piece.Target? {
        guard let named else { return nil }
        // Only what is executed is moved: an address of data, or of the function
        // itself, stays what it is. So does a call of the function by itself.
        guard instruction.target != nil, named >= 0, named < covered,
            instruction.flow != .call || named > 0
        else { return .body(named) }
        guard instruction.flow != .call else { throw .takesReturnAddress(offset: offset) }
        guard let place = places[Int(named)] else {
            throw .leadsIntoInstruction(offset: offset, target: Int(named))
        }
        return .moved(place)
    }

    /// The instruction with another target, if it has one.
    func piece(leadingTo target: Piece.Target?) -> Piece {
        if let place = instruction.ripDisplacementOffset {
            return Piece(
                head: Array(bytes[..<place]), target: target, tail: Array(bytes[(place + 4)...]))
        }
        guard let displacement = instruction.branchDisplacementSize else {
            return Piece(head: bytes)
        }
        if displacement == 4 { return Piece(head: bytes.dropLast(4), target: target) }
        switch opcode {
        case 0xeb:  // jmp rel8: jmp rel32
            return Piece(head: prefixes + [0xe9], target: target)
        case 0x70...0x7f:  // jcc rel8: jcc rel32
            return Piece(head: prefixes + [0x0f, opcode + 0x10], target: target)
        default:
            // loop, loope, loopne, jrcxz and jecxz have no long form:
            //     jrcxz 1f;  jmp 2f;  1: jmp rel32;  2:
            return Piece(head: prefixes + [opcode, 2, 0xeb, 5, 0xe9], target: target)
        }
    }
}
