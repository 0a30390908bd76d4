import Addresses

/// The first instructions of a function, which a detour overwrites, when they can
/// run at another place. Offsets and addresses count from the site.
public struct EntryInstructions: Sendable {
    public let instructions: [EntryInstruction]

    /// How many bytes they take.
    public var covered: Int { instructions.last?.end ?? 0 }
    /// Whether control goes on behind the last.
    public var fallsThrough: Bool { instructions.last?.fallsThrough ?? true }

    /// Decodes whole instructions until `length` bytes are covered, or control
    /// ends there before (in a `ret` or a jump) and nothing leads further.
    ///
    /// - Parameter code: the function's bytes from the site on. There may be more
    ///   of them than are covered, its padding included.
    public init(code: [UInt8], covering length: Int) throws(MoveRefusal) {
        let decoder: Decoder
        do throws(DecoderUnavailable) {
            decoder = try Decoder()
        } catch {
            throw .decoderUnavailable
        }
        try self.init(code: code, covering: length, decoder)
    }

    init(
        code: [UInt8], covering length: Int, _ decoder: borrowing Decoder
    ) throws(MoveRefusal) {
        var instructions: [EntryInstruction] = []
        var offset = 0
        // Where a branch leads within the bytes to cover, the furthest.
        var furthest = 0
        while offset < length {
            let instruction = try EntryInstruction(code, at: offset, decoder)
            instructions.append(instruction)
            offset = instruction.end
            if case .code(let goal)? = instruction.target, goal < length {
                furthest = max(furthest, Int(goal))
            }
            if !instruction.fallsThrough && furthest < offset { break }
        }
        let starts = Set(instructions.map(\.offset))
        for instruction in instructions {
            try instruction.checkTarget(covered: offset, starts)
        }
        self.instructions = instructions
    }
}

/// One of them.
public struct EntryInstruction: Sendable {
    /// What its displacement leads to, in bytes from the site.
    public enum Target: Hashable, Sendable {
        /// Where it jumps.
        case code(Int64)
        /// What it calls, or what its operand in memory names.
        case address(Int64)
    }

    public let offset: Int
    public let bytes: [UInt8]
    public let decoded: Instruction<RemoteAddress>

    public var end: Int { offset + bytes.count }
    /// The opcode's first byte.
    public var opcode: UInt8 { bytes[decoded.opcodeOffset] }
    /// What stands before the opcode.
    public var prefixes: ArraySlice<UInt8> { bytes[..<decoded.opcodeOffset] }

    public var target: Target? {
        if let target = decoded.target {
            let distance = Int64(bitPattern: target.rawValue)
            return decoded.flow == .call ? .address(distance) : .code(distance)
        }
        guard let place = decoded.ripDisplacementOffset else { return nil }
        let pattern = bytes[place..<place + 4].reversed().reduce(0 as UInt32) {
            $0 << 8 | UInt32($1)
        }
        return .address(Int64(end) + Int64(Int32(bitPattern: pattern)))
    }

    var fallsThrough: Bool {
        switch decoded.flow {
        case .jump, .return, .stop: false
        case .next, .conditionalJump, .call, .interrupt: true
        }
    }

    fileprivate init(
        _ code: [UInt8], at offset: Int, _ decoder: borrowing Decoder
    ) throws(MoveRefusal) {
        guard offset < code.count else { throw .ends(available: code.count) }
        let address = RemoteAddress(rawValue: UInt64(offset))
        guard let decoded = decoder.decode(code, at: offset, address: address) else {
            throw .undecodable(offset: offset, bytes: Array(code[offset...].prefix(8)))
        }
        self.offset = offset
        self.decoded = decoded
        bytes = Array(code[offset..<offset + decoded.length])
        try checkEncoding()
        try checkCall()
    }

    private func checkEncoding() throws(MoveRefusal) {
        // Of what Capstone knows, its opinion must be that of the quick look.
        if decoded.opcode != .unknown,
            (decoded.ripRelativeAddress == nil) != (decoded.ripDisplacementOffset == nil)
        {
            throw .undecodable(offset: offset, bytes: bytes)
        }
        // 67: the sum is cut to 32 bits.
        if decoded.ripDisplacementOffset != nil, prefixes.contains(0x67) {
            throw .narrowAddress(offset: offset, bytes: bytes)
        }
        // 66: AMD cuts the instruction pointer to 16 bits, but not with REX.W
        // (APM vol. 3, "Operand-Size Override Prefix").
        let branches = decoded.flow != .next && decoded.flow != .interrupt
        if branches, prefixes.contains(0x66), (prefixes.last ?? 0) & 0xf8 != 0x48 {
            throw .narrowBranch(offset: offset, bytes: bytes)
        }
        // 15 bytes at most (SDM vol. 2, 2.3.11).
        if decoded.branchDisplacementSize == 1, prefixes.count > 9 {
            throw .overlong(offset: offset, bytes: bytes)
        }
    }

    private func checkCall() throws(MoveRefusal) {
        // int3 and int1 stop in a debugger, which looks for them by address.
        if decoded.flow == .interrupt, opcode == 0xcc || opcode == 0xf1 {
            throw .breakpoint(offset: offset)
        }
        // What is called there takes the return address for its own.
        if decoded.flow == .call, decoded.target == decoded.end {
            throw .takesReturnAddress(offset: offset)
        }
    }

    fileprivate func checkTarget(covered: Int, _ starts: Set<Int>) throws(MoveRefusal) {
        switch target {
        case .code(let goal)? where goal >= 0 && goal < covered && !starts.contains(Int(goal)):
            throw .leadsIntoInstruction(offset: offset, target: Int(goal))
        // A call of the function by itself takes the detour, as any other does.
        case .address(let goal)? where decoded.target != nil && goal > 0 && goal < covered:
            throw .takesReturnAddress(offset: offset)
        default: break
        }
    }
}
