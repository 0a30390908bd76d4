import Addresses
import CDecoder

/// One decoded x86-64 instruction.
public struct Instruction<Space: AddressSpace>: Sendable {
    /// The flat C struct behind it: operands and the places of fields.
    public let raw: cdecoder_instruction

    public var address: Space { Space(rawValue: raw.address) }
    /// Bytes, 1 to 15.
    public var length: Int { Int(raw.length) }
    /// The address behind it; for a call, where it returns to.
    public var end: Space { Space(rawValue: raw.address &+ UInt64(raw.length)) }
    public var opcode: Opcode { Opcode(rawValue: raw.opcode) }
    public var flow: Flow { Flow(rawValue: raw.flow) ?? .next }
    /// Where a direct branch leads.
    public var target: Space? { raw.has_target ? Space(rawValue: raw.target) : nil }
    /// What it reads and writes, implicit registers included. Where that is not
    /// known, a register is in both.
    public var reads: RegisterSet { RegisterSet(rawValue: raw.reads) }
    public var writes: RegisterSet { RegisterSet(rawValue: raw.writes) }
    /// Whether it uses more than 128 bits of a vector register.
    public var usesWideVectors: Bool { raw.wide }
    public var operands: [Operand] {
        let all = (
            raw.operands.0, raw.operands.1, raw.operands.2, raw.operands.3, raw.operands.4
        )
        let list = [all.0, all.1, all.2, all.3, all.4]
        return list.prefix(Int(raw.operand_count)).compactMap(Operand.init)
    }

    /// Where the opcode starts, behind the prefixes.
    public var opcodeOffset: Int { Int(raw.opcode_offset) }
    /// The size of the displacement with which a direct branch ends, in bytes: 1
    /// or 4.
    public var branchDisplacementSize: Int? {
        raw.has_target ? Int(raw.relative_size) : nil
    }
    /// Where the four bytes stand that name an address from rip on, in an operand
    /// in memory.
    public var ripDisplacementOffset: Int? { raw.rip_offset > 0 ? Int(raw.rip_offset) : nil }
    /// The address that a rip-relative operand names.
    public var ripRelativeAddress: Space? {
        for case .memory(let memory) in operands where memory.isRIPRelative {
            return end.wrapping(by: memory.displacement)
        }
        return nil
    }
}

/// Where control goes after an instruction.
public enum Flow: UInt8, Sendable {
    case next
    case jump
    case conditionalJump
    case call
    case `return`
    /// int, int3, syscall, sysenter: the kernel returns behind it.
    case interrupt
    /// ud2, hlt: control does not go on.
    case stop
}

/// Which operation, by Capstone's number (`X86_INS_…`).
public struct Opcode: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Of an instruction of which only the length is known.
    public static let unknown = Self(rawValue: UInt16(X86_INS_INVALID.rawValue))
    public static let lea = Self(rawValue: UInt16(X86_INS_LEA.rawValue))
    public static let nop = Self(rawValue: UInt16(X86_INS_NOP.rawValue))
    public static let int3 = Self(rawValue: UInt16(X86_INS_INT3.rawValue))
    public static let endbr64 = Self(rawValue: UInt16(X86_INS_ENDBR64.rawValue))
    public static let mov = Self(rawValue: UInt16(X86_INS_MOV.rawValue))
    public static let movsxd = Self(rawValue: UInt16(X86_INS_MOVSXD.rawValue))
    public static let cdqe = Self(rawValue: UInt16(X86_INS_CDQE.rawValue))
    public static let add = Self(rawValue: UInt16(X86_INS_ADD.rawValue))
    public static let pop = Self(rawValue: UInt16(X86_INS_POP.rawValue))

    /// cmovcc.
    public var isConditionalMove: Bool { Self.conditionalMoves.contains(self) }

    private static let conditionalMoves: Set<Self> = Set(
        [
            X86_INS_CMOVA, X86_INS_CMOVAE, X86_INS_CMOVB, X86_INS_CMOVBE, X86_INS_CMOVE,
            X86_INS_CMOVG, X86_INS_CMOVGE, X86_INS_CMOVL, X86_INS_CMOVLE, X86_INS_CMOVNE,
            X86_INS_CMOVNO, X86_INS_CMOVNP, X86_INS_CMOVNS, X86_INS_CMOVO, X86_INS_CMOVP,
            X86_INS_CMOVS,
        ].map { Self(rawValue: UInt16($0.rawValue)) })
}

/// An operand, in Intel's order: the destination first.
public enum Operand: Hashable, Sendable {
    case register(Register, bytes: Int)
    case immediate(Int64)
    case memory(Memory)

    public struct Memory: Hashable, Sendable {
        /// nil for none, and for rip.
        public let base: Register?
        public let index: Register?
        public let scale: Int
        public let displacement: Int64
        /// Whether the base is the address behind the instruction.
        public let isRIPRelative: Bool
        /// Whether fs or gs is added: thread-local.
        public let hasSegment: Bool
        public let bytes: Int
    }

    init?(_ raw: cdecoder_operand) {
        switch UInt32(raw.kind) {
        case CDECODER_REGISTER.rawValue:
            guard let register = Register(raw: raw.reg) else { return nil }
            self = .register(register, bytes: Int(raw.size))
        case CDECODER_IMMEDIATE.rawValue:
            self = .immediate(raw.value)
        default:
            self = .memory(
                Memory(
                    base: Register(raw: raw.base), index: Register(raw: raw.index),
                    scale: Int(raw.scale), displacement: raw.value,
                    isRIPRelative: Int(raw.base) == CDECODER_RIP,
                    hasSegment: raw.has_segment, bytes: Int(raw.size)))
        }
    }
}

extension AddressSpace {
    /// The address `delta` bytes away, as the processor computes it: modulo 2^64.
    public func wrapping(by delta: Int64) -> Self {
        Self(rawValue: rawValue &+ UInt64(bitPattern: delta))
    }
}
