import Addresses
import CDecoder
import ELFImage

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

    /// How many bytes the instructions take from `offset` on that cover `length` bytes,
    /// where they are so ordinary that they can run elsewhere without a closer look;
    /// nil where that is to be asked.
    static func quickLook(at offset: Int, of bytes: ByteView, covering length: Int) -> Int? {
        var covered = 0
        while covered < length {
            let place = offset + covered
            guard let shape = bytes.shape(at: place),
                let flow = shape.flowOfOrdinary(in: bytes, at: place)
            else { return nil }
            covered += Int(shape.length)
            switch flow {
            case .next: continue
            case .return: return covered
            case .call, .jump, .conditionalJump:
                // What leads to these instructions themselves takes a closer look.
                guard
                    let distance = bytes.load(
                        offset + covered - Int(shape.relative_size), as: Int32.self),
                    !(0..<64).contains(Int64(covered) + Int64(distance))
                else { return nil }
                if flow == .jump { return covered }
            case .interrupt, .stop: return nil
            }
        }
        return covered
    }
}

extension cdecoder_shape {
    /// The flow of an instruction with no prefix but REX, and an opcode of one byte; of
    /// branches, those with a displacement of four bytes; nil of all others.
    fileprivate func flowOfOrdinary(in bytes: ByteView, at place: Int) -> Flow? {
        guard let first = bytes[place], let opcode = bytes[place + Int(opcode_offset)],
            opcode_offset == 0 || opcode_offset == 1 && first & 0xf0 == 0x40
        else { return nil }
        let flow = Flow(rawValue: self.flow)
        switch (flow, opcode) {
        // push, pop, mov, lea, and the arithmetic of 00 to 3b, 81, 83 and 85
        case (.next, 0x50...0x5f), (.next, 0x89), (.next, 0x8b), (.next, 0x8d), (.next, 0x83),
            (.next, 0x81), (.next, 0x85), (.next, 0x00...0x03), (.next, 0x08...0x0b),
            (.next, 0x20...0x23), (.next, 0x28...0x2b), (.next, 0x30...0x33),
            (.next, 0x38...0x3b), (.next, 0xb8...0xbf), (.next, 0xc7):
            return flow
        case (.call, 0xe8), (.jump, 0xe9), (.return, 0xc3):
            return opcode_offset == 0 ? flow : nil
        default: return nil
        }
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
