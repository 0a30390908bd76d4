import CLinuxTrace
import Glibc
import SystemPackage

/// A system call as seccomp filters see it (struct seccomp_data, seccomp(2)).
struct FilteredCall {
    let number: UInt32
    let name: String
    let arguments: [UInt64]
    /// Where it is made: behind the `syscall`.
    let instruction: UInt64

    /// AUDIT_ARCH_X86_64 (linux/audit.h).
    private static let architecture: UInt32 = 0xc000_003e

    /// The word at that offset; nil where there is none.
    func word(at offset: UInt32) -> UInt32? {
        switch offset {
        case 0: return number
        case 4: return Self.architecture
        case 8: return UInt32(truncatingIfNeeded: instruction)
        case 12: return UInt32(truncatingIfNeeded: instruction >> 32)
        case 16..<SeccompProgram.dataSize where offset % 4 == 0:
            let index = Int((offset - 16) / 8)
            let value = index < arguments.count ? arguments[index] : 0
            return UInt32(truncatingIfNeeded: offset % 8 == 0 ? value : value >> 32)
        default: return nil
        }
    }
}

/// One seccomp filter: a program of the classic BPF machine, as far as the kernel takes
/// it for that (kernel/seccomp.c, seccomp_check_filter; Documentation/networking/
/// filter.rst).
struct SeccompProgram {
    /// Bytes of struct seccomp_data.
    static let dataSize: UInt32 = 64
    /// SECCOMP_RET_ALLOW and SECCOMP_RET_LOG, without their data.
    private static let permissions: Set<UInt32> = [0x7fff_0000, 0x7ffc_0000]

    let steps: [sock_filter]

    /// Whether the call is made as if there were no filter. false too for what no
    /// program is that the kernel would have taken.
    func permits(_ call: FilteredCall) -> Bool {
        var machine = Machine()
        // Jumps lead forward only: each step is taken once at most.
        while machine.next < steps.count {
            let step = steps[machine.next]
            machine.next += 1
            // BPF_RET of a constant or of the accumulator.
            if step.code == 0x06 { return Self.isPermission(step.k) }
            if step.code == 0x16 { return Self.isPermission(machine.a) }
            guard machine.take(step, call) else { return false }
        }
        return false
    }

    private static func isPermission(_ answer: UInt32) -> Bool {
        permissions.contains(answer & 0xffff_0000)
    }

    /// The accumulator, the index, and sixteen words.
    private struct Machine {
        var next = 0
        var a: UInt32 = 0
        var x: UInt32 = 0
        var memory = [UInt32](repeating: 0, count: 16)

        /// Anything but a return. false where there is no such step.
        mutating func take(_ step: sock_filter, _ call: FilteredCall) -> Bool {
            switch step.code & 0x07 {
            case 0x00: return load(step, call)
            case 0x01:
                switch step.code {
                case 0x01: x = step.k  // BPF_LDX of a constant
                case 0x61: return recall(step.k) { $0.x = $1 }
                case 0x81: x = SeccompProgram.dataSize  // BPF_LDX | BPF_LEN
                default: return false
                }
            case 0x02, 0x03:
                guard step.code <= 0x03, memory.indices.contains(Int(step.k)) else { return false }
                memory[Int(step.k)] = step.code == 0x02 ? a : x
            case 0x04: return calculate(step)
            case 0x05: return jump(step)
            default:  // BPF_MISC
                switch step.code {
                case 0x07: x = a
                case 0x87: a = x
                default: return false
                }
            }
            return true
        }

        private mutating func load(_ step: sock_filter, _ call: FilteredCall) -> Bool {
            switch step.code {
            case 0x00: a = step.k
            case 0x20:  // BPF_W | BPF_ABS
                guard let word = call.word(at: step.k) else { return false }
                a = word
            case 0x60: return recall(step.k) { $0.a = $1 }
            case 0x80: a = SeccompProgram.dataSize
            default: return false
            }
            return true
        }

        private mutating func recall(
            _ index: UInt32, _ put: (inout Machine, UInt32) -> Void
        ) -> Bool {
            guard memory.indices.contains(Int(index)) else { return false }
            put(&self, memory[Int(index)])
            return true
        }

        private mutating func calculate(_ step: sock_filter) -> Bool {
            let operand = step.code & 0x08 == 0 ? step.k : x
            switch step.code & 0xf0 {
            case 0x00: a &+= operand
            case 0x10: a &-= operand
            case 0x20: a &*= operand
            case 0x30:
                // The kernel ends the program with 0, which kills.
                guard operand != 0 else { return false }
                a /= operand
            case 0x40: a |= operand
            case 0x50: a &= operand
            case 0x60: a &<<= operand
            case 0x70: a &>>= operand
            case 0x80: a = 0 &- a
            case 0xa0: a ^= operand
            default: return false
            }
            return true
        }

        private mutating func jump(_ step: sock_filter) -> Bool {
            let operand = step.code & 0x08 == 0 ? step.k : x
            let isTaken: Bool
            switch step.code & 0xf0 {
            case 0x00:
                next += Int(step.k)
                return true
            case 0x10: isTaken = a == operand
            case 0x20: isTaken = a > operand
            case 0x30: isTaken = a >= operand
            case 0x40: isTaken = a & operand != 0
            default: return false
            }
            next += Int(isTaken ? step.jt : step.jf)
            return true
        }
    }
}

/// The seccomp filters of a thread, which all have to permit a call.
struct SeccompFilters {
    private let programs: [SeccompProgram]

    /// Those of a thread that stands still. Throws EACCES without CAP_SYS_ADMIN, and
    /// where this tool runs under a filter itself (ptrace(2),
    /// PTRACE_SECCOMP_GET_FILTER).
    init(of tracee: Tracee) throws(Errno) {
        var programs: [SeccompProgram] = []
        while let program = try Self.program(UInt32(programs.count), of: tracee) {
            programs.append(program)
        }
        self.programs = programs
    }

    private static func program(
        _ index: UInt32, of tracee: Tracee
    ) throws(Errno) -> SeccompProgram? {
        let count = clinux_seccomp_filter(tracee.id, index, nil)
        // ENOENT: it has no more.
        if count == -Int(ENOENT) { return nil }
        guard count >= 0 else { throw Errno(rawValue: Int32(-count)) }
        var steps = [sock_filter](repeating: sock_filter(), count: count)
        let filled = unsafe clinux_seccomp_filter(tracee.id, index, &steps)
        guard filled == count else {
            throw filled < 0 ? Errno(rawValue: Int32(-filled)) : .invalidArgument
        }
        return SeccompProgram(steps: steps)
    }

    func permit(_ call: FilteredCall) -> Bool {
        programs.allSatisfy { $0.permits(call) }
    }
}
