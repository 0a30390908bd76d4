import Addresses

/// Where the address comes from that an indirect jump leads to, as far as the
/// instructions right before it tell.
enum JumpOrigin {
    /// A word of the memory, an argument, or what a function returned: a pointer
    /// to a function, or a label of a list.
    case pointer
    /// An entry of a table of relative addresses, added to the table's.
    case table
    case computed

    /// So many instructions are looked at.
    private static let window = 48

    static func find(
        _ jump: FunctionBody.IndirectJump, in part: FunctionBody, _ decoder: borrowing Decoder
    ) -> JumpOrigin {
        guard let region = part.region,
            let instruction = decode(jump.address, in: region, decoder)
        else { return .computed }
        guard case .register(let register, _)? = instruction.operands.first else {
            return instruction.operands.isEmpty ? .computed : .pointer
        }
        var wanted = register
        let (starts, isWhole) = part.instructions(before: jump, count: window)
        for (index, start) in starts.enumerated() {
            guard let before = decode(start, in: region, decoder) else { return .computed }
            if before.flow == .call, wanted.isChangedByCalls { return .pointer }
            guard before.flow == .next, before.writes.contains(RegisterSet(wanted)) else {
                continue
            }
            switch Step(before) {
            case .load: return .pointer
            case .copy(let source): wanted = source
            case .either: continue
            case .sum(let one, let other):
                let rest = starts[(index + 1)...]
                return isEntry(one, rest, region, decoder) || isEntry(other, rest, region, decoder)
                    ? .table : .computed
            case .other: return .computed
            }
        }
        return isWhole ? .pointer : .computed
    }

    /// Whether `register` was loaded as a signed word of 32 bits, at once or in two
    /// steps.
    private static func isEntry(
        _ register: Register, _ starts: ArraySlice<UInt64>, _ region: CodeRegion,
        _ decoder: borrowing Decoder
    ) -> Bool {
        var wanted = register
        var isExtended = false
        for start in starts {
            guard let before = decode(start, in: region, decoder) else { return false }
            guard before.writes.contains(RegisterSet(wanted)) else { continue }
            switch (before.opcode, before.operands.last) {
            case (.movsxd, .memory?): return true
            case (.mov, .memory?): return isExtended
            case (.movsxd, .register(let source, 4)?) where !isExtended: wanted = source
            case (.cdqe, _) where !isExtended: break
            default: return false
            }
            isExtended = true
        }
        return false
    }

    private static func decode(
        _ address: UInt64, in region: CodeRegion, _ decoder: borrowing Decoder
    ) -> Instruction<LinkAddress>? {
        guard let offset = region.offset(of: address) else { return nil }
        return decoder.decode(region.bytes, at: offset, address: LinkAddress(rawValue: address))
    }

    /// How an instruction sets a register.
    private enum Step {
        case load
        case copy(Register)
        /// The old value, or one that was moved there.
        case either
        case sum(Register, Register)
        case other

        init(_ instruction: Instruction<LinkAddress>) {
            let operands = instruction.operands
            switch (instruction.opcode, operands.first, operands.last) {
            case (.pop, _, _), (.mov, .register(_, 8)?, .memory?): self = .load
            case (.mov, .register(_, 8)?, .register(let source, 8)?): self = .copy(source)
            // An address that is taken is judged as such.
            case (.lea, _, .memory(let memory)?) where memory.isRIPRelative: self = .load
            case (.add, .register(let one, 8)?, .register(let other, 8)?): self = .sum(one, other)
            default: self = instruction.opcode.isConditionalMove ? .either : .other
            }
        }
    }
}

extension Register {
    /// Whether a function may change it (psABI, figure 3.4).
    fileprivate var isChangedByCalls: Bool {
        ![Self.rbx, .rsp, .rbp, .r(12), .r(13), .r(14), .r(15)].contains(self)
    }
}
