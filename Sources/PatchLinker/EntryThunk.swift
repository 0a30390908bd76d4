import Addresses
import PatchFile

/// The code that stands between a detour and a replacement that may change more
/// than the original did (``EntryContract``): it keeps the registers that the
/// original left alone, aligns the stack, and calls the replacement.
///
/// It pushes a frame of its own, so it serves only functions that take no
/// arguments on the stack; authoring refuses the others. Caller-saved registers
/// carry arguments in, and the thunk changes none before the call.
enum EntryThunk {
    /// How far in rbp has been pushed, and how far in it is the frame's base; from
    /// there on it stays so until the last instruction but one. ``ThunkFrames``
    /// tells it to whoever follows the frames.
    static let pushEnd: UInt64 = 5
    static let frameEnd: UInt64 = 8

    /// The machine code for a thunk at `address` that calls `replacement`, or nil
    /// where that is out of reach of a `call rel32`. Its length does not depend
    /// on either.
    static func code(
        for contract: EntryContract, at address: RemoteAddress, calling replacement: RemoteAddress
    ) -> [UInt8]? {
        let keepsFlags = contract.preserve.contains(.flags)
        let saved = contract.preserve.filter { $0 != .flags }
        let slots = slots(for: saved)
        var code = CodeBuffer(at: address)
        code.append([0xf3, 0x0f, 0x1e, 0xfa])  // endbr64
        code.append([0x55])  // push %rbp
        code.append([0x48, 0x89, 0xe5])  // mov %rsp,%rbp
        if keepsFlags { code.append([0x9c]) }  // pushfq, now at -8(%rbp)
        code.append([0x48, 0x81, 0xec] + code.immediate(slots.size))  // sub $size,%rsp
        code.append([0x48, 0x83, 0xe4, 0xf0])  // and $-16,%rsp
        for (register, offset) in slots.offsets { code.append(store(register, offset)) }
        guard code.call(replacement) else { return nil }  // call replacement
        for (register, offset) in slots.offsets { code.append(load(register, offset)) }
        if keepsFlags {
            code.append([0x48, 0x8d, 0x65, 0xf8])  // lea -8(%rbp),%rsp
            code.append([0x9d, 0x5d])  // popfq; pop %rbp
        } else {
            code.append([0xc9])  // leave
        }
        code.append([0xc3])  // ret
        return code.bytes
    }

    /// Bytes of the thunk, wherever it stands.
    static func length(for contract: EntryContract) -> UInt64 {
        let nowhere = RemoteAddress(rawValue: 1 << 32)
        return UInt64(code(for: contract, at: nowhere, calling: nowhere)?.count ?? 0)
    }

    /// Where each register is kept, from the aligned stack pointer upwards.
    private static func slots(
        for registers: [KeptRegister]
    ) -> (offsets: [(KeptRegister, Int)], size: Int) {
        let vectors = registers.filter { $0.vectorNumber != nil }
        let general = registers.filter { $0.generalNumber != nil }
        let offsets =
            vectors.enumerated().map { ($0.element, $0.offset * 16) }
            + general.enumerated().map { ($0.element, vectors.count * 16 + $0.offset * 8) }
        return (offsets, (vectors.count * 16 + general.count * 8 + 15) & ~15)
    }

    private static func store(_ register: KeptRegister, _ offset: Int) -> [UInt8] {
        if let number = register.vectorNumber {
            return vectorMove(opcode: 0x29, number, offset)  // movaps %xmmN,offset(%rsp)
        }
        // mov %r,offset(%rsp)
        return generalMove(opcode: 0x89, register.generalNumber ?? 0, offset)
    }

    /// `movaps` from memory leaves the upper halves of the vector register alone.
    private static func load(_ register: KeptRegister, _ offset: Int) -> [UInt8] {
        if let number = register.vectorNumber {
            return vectorMove(opcode: 0x28, number, offset)  // movaps offset(%rsp),%xmmN
        }
        // mov offset(%rsp),%r
        return generalMove(opcode: 0x8b, register.generalNumber ?? 0, offset)
    }

    /// REX.W opcode /r with a base of rsp and a 32-bit displacement (SDM vol. 2, 2.1.5).
    private static func generalMove(opcode: UInt8, _ number: UInt8, _ offset: Int) -> [UInt8] {
        [0x48 | (number >> 3) << 2, opcode, 0x84 | (number & 7) << 3, 0x24]
            + PayloadHeader.littleEndian(Int32(offset))
    }

    private static func vectorMove(opcode: UInt8, _ number: UInt8, _ offset: Int) -> [UInt8] {
        (number >= 8 ? [0x44] : []) + [0x0f, opcode, 0x84 | (number & 7) << 3, 0x24]
            + PayloadHeader.littleEndian(Int32(offset))
    }
}

extension KeptRegister {
    /// The register's number in ModRM and REX (SDM vol. 2, table 2-2).
    fileprivate var generalNumber: UInt8? {
        switch self {
        case .rax: 0
        case .rcx: 1
        case .rdx: 2
        case .rsi: 6
        case .rdi: 7
        case .r8: 8
        case .r9: 9
        case .r10: 10
        case .r11: 11
        default: nil
        }
    }

    fileprivate var vectorNumber: UInt8? {
        rawValue.hasPrefix("xmm") ? UInt8(rawValue.dropFirst(3)) : nil
    }
}

/// Machine code that grows from an address on.
struct CodeBuffer {
    let start: RemoteAddress
    private(set) var bytes: [UInt8] = []

    init(at start: RemoteAddress) { self.start = start }

    mutating func append(_ code: [UInt8]) { bytes += code }

    func immediate(_ value: Int) -> [UInt8] { PayloadHeader.littleEndian(Int32(value)) }

    /// `call rel32` (E8 cd); false where the target is out of reach.
    mutating func call(_ target: RemoteAddress) -> Bool { relative([0xe8], target) }

    /// `opcode` followed by the displacement of `target`; false out of reach.
    mutating func relative(_ opcode: [UInt8], _ target: RemoteAddress) -> Bool {
        let length = UInt64(bytes.count + opcode.count + 4)
        guard let displacement = Rel32(from: start, length: length, to: target) else {
            return false
        }
        bytes += opcode + displacement.bytes
        return true
    }
}
