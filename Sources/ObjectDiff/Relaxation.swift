import Addresses
import ELFImage
import Patchability

/// What linkers make of code that goes by the global offset table, or asks the loader
/// for a thread-local variable, where they know more than the compiler did: psABI x86-64,
/// "Optimize GOTPCRELX Relocations", and ELF Handling For Thread-Local Storage, 5.5, with
/// the forms that ld, gold and lld write. Some take several instructions at once, and all
/// but jumps are as long as what they take the place of.
struct Relaxation {
    /// What stands in the field of the new form.
    enum Meaning {
        /// The distance to what the relocation names, from the field's end.
        case relative
        /// Its address.
        case absolute
        /// Its distance from the thread pointer.
        case threadOffset
        /// The distance to the word with its distance from the thread pointer.
        case threadWord
        /// There is no field: what it stands for is the block of all.
        case block
    }

    /// The relocation that says what it is about.
    let relocation: Relocation
    /// The bytes of the object that it stands for, from the instruction's start.
    let length: Int
    /// The new form. The four bytes from `field` on are those of the linker.
    let bytes: [UInt8]
    let field: Int?
    let meaning: Meaning

    /// The forms that the instruction of a line, or several from it on, may have.
    static func forms(of line: CodeLine, in atom: Atom) -> [Self] {
        guard let relocation = atom.relocations(in: line.offset..<line.end).first,
            let kind = RelocationKind(rawValue: relocation.type.rawValue)
        else { return [] }
        let source = Source(line: line, atom: atom, relocation: relocation)
        switch kind {
        case .tlsGeneralDynamic: return source.generalDynamic
        case .tlsLocalDynamic: return source.localDynamic
        case .tlsDescriptor: return source.descriptor
        case .tlsDescriptorCall:
            // call *x@TLSCALL(%rax) to xchg %ax, %ax.
            return source.isAt(0, [0xff, 0x10])
                ? [source.form(2, [0x66, 0x90], nil, .block)] : []
        case .tlsInitialExec: return source.initialExec
        case .gotPCRelative, .gotPCRelativeRelaxable, .rexGOTPCRelativeRelaxable:
            return source.table
        default: return []
        }
    }

    /// Whether the bytes at `offset` are this form.
    func stands(in code: ByteView, at offset: Int) -> Bool {
        guard let found = code.slice(offset, bytes.count) else { return false }
        return bytes.indices.allSatisfy { index in
            field.map { ($0..<$0 + 4).contains(index) } == true || found[index] == bytes[index]
        }
    }

    /// The name that stands for the block of all thread-local variables of a module
    /// where descriptors are used.
    static let blockName = "_TLS_MODULE_BASE_"
}

/// The code that may be relaxed.
private struct Source {
    let line: CodeLine
    let atom: Atom
    let relocation: Relocation

    /// Whether these bytes stand `distance` bytes behind the line's start.
    func isAt(_ distance: Int, _ bytes: [UInt8]) -> Bool {
        atom.bytes.slice(line.offset + distance, bytes.count)?.array() == bytes
    }

    /// Whether the relocation fills in what stands `distance` bytes behind the start.
    private func fills(_ distance: Int) -> Bool {
        relocation.offset.rawValue == UInt64(line.offset + distance)
    }

    func form(
        _ length: Int, _ bytes: [UInt8], _ field: Int?, _ meaning: Relaxation.Meaning
    ) -> Relaxation {
        Relaxation(
            relocation: relocation, length: length, bytes: bytes, field: field, meaning: meaning)
    }

    private static let four: [UInt8] = [0, 0, 0, 0]
    /// mov %fs:0, %rax.
    private static let threadPointer: [UInt8] = [0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0]

    /// data16 lea x@TLSGD(%rip), %rdi; and data16 data16 rex.W call __tls_get_addr, or
    /// data16 rex.W call *__tls_get_addr@GOTPCREL(%rip).
    var generalDynamic: [Relaxation] {
        guard isAt(0, [0x66, 0x48, 0x8d, 0x3d]), fills(4),
            isAt(8, [0x66, 0x66, 0x48, 0xe8]) || isAt(8, [0x66, 0x48, 0xff, 0x15]),
            atom.bytes.count - line.offset >= 16
        else { return [] }
        return [
            // mov %fs:0, %rax; lea x@TPOFF(%rax), %rax.
            form(
                16, Self.threadPointer + [0x48, 0x8d, 0x80] + Self.four, 12, .threadOffset),
            // mov %fs:0, %rax; add x@GOTTPOFF(%rip), %rax.
            form(16, Self.threadPointer + [0x48, 0x03, 0x05] + Self.four, 12, .threadWord),
        ]
    }

    /// lea x@TLSLD(%rip), %rdi; and call __tls_get_addr, or call
    /// *__tls_get_addr@GOTPCREL(%rip). To data16 data16 data16 (data16) mov %fs:0, %rax.
    var localDynamic: [Relaxation] {
        guard isAt(0, [0x48, 0x8d, 0x3d]), fills(3) else { return [] }
        for (call, count) in [([0xe8], 12), ([0xff, 0x15], 13)] as [([UInt8], Int)]
        where isAt(7, call) && atom.bytes.count - line.offset >= count {
            let prefixes = [UInt8](repeating: 0x66, count: count - 9)
            return [form(count, prefixes + Self.threadPointer, nil, .block)]
        }
        return []
    }

    /// lea x@TLSDESC(%rip), %rax.
    var descriptor: [Relaxation] {
        guard isAt(0, [0x48, 0x8d, 0x05]), fills(3) else { return [] }
        return [
            // mov $x@TPOFF, %rax.
            form(7, [0x48, 0xc7, 0xc0] + Self.four, 3, .threadOffset),
            // mov x@GOTTPOFF(%rip), %rax.
            form(7, [0x48, 0x8b, 0x05] + Self.four, 3, .threadWord),
        ]
    }

    /// mov or add x@GOTTPOFF(%rip), %r.
    var initialExec: [Relaxation] {
        guard let load = Load(self), let rex = load.rex else { return [] }
        let low = load.register & 7
        switch load.opcode {
        case 0x8b:
            // mov $x@TPOFF, %r.
            return [form(7, [load.moved(rex), 0xc7, 0xc0 | low] + Self.four, 3, .threadOffset)]
        case 0x03:
            // lea x@TPOFF(%r), %r; of %rsp and %r12, for which lea takes another byte,
            // add $x@TPOFF, %r.
            let head: [UInt8] =
                low == 4
                ? [load.moved(rex), 0x81, 0xc0 | low]
                : [rex | load.moved(rex), 0x8d, 0x80 | low << 3 | low]
            return [form(7, head + Self.four, 3, .threadOffset)]
        default: return []
        }
    }

    /// Instructions that take the address of something from the offset table.
    var table: [Relaxation] {
        // call *x@GOTPCREL(%rip) to addr32 call x, or with a nop before or behind;
        // jmp *x@GOTPCREL(%rip) to jmp x; nop.
        if isAt(0, [0xff, 0x15]), fills(2) {
            return [
                form(6, [0x67, 0xe8] + Self.four, 2, .relative),
                form(6, [0xe8] + Self.four + [0x90], 1, .relative),
                form(6, [0x90, 0xe8] + Self.four, 2, .relative),
            ]
        }
        if isAt(0, [0xff, 0x25]), fills(2) {
            return [form(6, [0xe9] + Self.four + [0x90], 1, .relative)]
        }
        guard let load = Load(self) else { return [] }
        let prefix = load.rex.map { [load.moved($0)] } ?? []
        let length = prefix.count + 6
        let low = load.register & 7
        func immediate(_ opcode: UInt8, _ digit: UInt8, _ prefix: [UInt8]) -> Relaxation {
            let head = prefix + [opcode, 0xc0 | digit << 3 | low]
            return form(length, head + Self.four, head.count, .absolute)
        }
        switch load.opcode {
        case 0x8b:
            // mov x@GOTPCREL(%rip), %r to lea x(%rip), %r; or mov $x, %r, with or
            // without the bit for 64 of them.
            let head = (load.rex.map { [$0] } ?? []) + [0x8d, load.modrm]
            return [
                form(length, head + Self.four, head.count, .relative),
                immediate(0xc7, 0, prefix), immediate(0xc7, 0, prefix.map { $0 & ~8 }),
            ]
        case 0x85:
            // test %r, x@GOTPCREL(%rip) to test $x, %r.
            return [immediate(0xf7, 0, prefix)]
        case 0x03, 0x0b, 0x13, 0x1b, 0x23, 0x2b, 0x33, 0x3b:
            // add, or, adc, sbb, and, sub, xor, cmp x@GOTPCREL(%rip), %r to … $x, %r.
            return [immediate(0x81, load.opcode >> 3, prefix)]
        default: return []
        }
    }
}

/// An instruction with a register and a word that is counted from rip, and no prefix
/// but REX.
private struct Load {
    let rex: UInt8?
    let opcode: UInt8
    let modrm: UInt8

    /// 0 to 15.
    var register: UInt8 { (modrm >> 3 & 7) | (rex ?? 0) << 1 & 8 }

    init?(_ source: Source) {
        guard let shape = source.line.shape, shape.opcodeOffset <= 1,
            let opcode = source.atom.bytes[source.line.offset + shape.opcodeOffset],
            let modrm = source.atom.bytes[source.line.offset + shape.opcodeOffset + 1],
            modrm & 0xc7 == 5, source.line.length == shape.opcodeOffset + 6
        else { return nil }
        if shape.opcodeOffset == 1 {
            guard let prefix = source.atom.bytes[source.line.offset], prefix & 0xf0 == 0x40 else {
                return nil
            }
            rex = prefix
        } else {
            rex = nil
        }
        self.opcode = opcode
        self.modrm = modrm
    }

    /// The prefix for the same register as the other operand: its bit R becomes B
    /// (SDM vol. 2, 2.2.1.2).
    func moved(_ rex: UInt8) -> UInt8 { rex & ~5 | rex >> 2 & 1 }
}
