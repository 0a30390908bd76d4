import Addresses
import CLinuxTrace

/// The code by which a thread that stands at its exec makes several system calls for us
/// and then stops once, or goes on where it was where the tool is gone.
///
///     0    192  the code
///     192  136  what it puts back, the signal that it sends itself, and the marker
///     328  164  up to four calls of 40 bytes each, and the word that ends them
///     …         an argument in memory
///
/// The stop is that of a signal which means nothing to a program that has just been
/// started, and which the kernel shows to a tracer all the same (kernel/signal.c,
/// sig_ignored): who is not traced any more does not even get it. Registers that the
/// calls or this code change are put back from beside it; it uses no stack.
struct HeldRunStub {
    /// It lies at a multiple of it, and so within a page.
    static let size = 512
    static let mostCalls = 4
    /// Behind the call that sends the signal, from the start.
    static let end: UInt64 = 78
    /// Where an argument in memory may be, and how long, from the start.
    static let text = 328 + 40 + 4
    static let textSize = 64

    private static let slots = 192
    private enum Slot: Int {
        case rax, rbx, rcx, rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, resume, signal
        case marker
    }

    private static func slot(_ slot: Slot) -> Int { slots + slot.rawValue * 8 }

    /// One system call. Arguments but the first have 32 bits.
    struct Call {
        let number: UInt32
        let first: UInt64
        /// The second to the sixth.
        let rest: [UInt32]
    }

    let bytes: [UInt8]

    /// - Parameters:
    ///   - calls: at most four, and one where there is a text.
    ///   - native: what the thread goes on with.
    init(_ calls: [Call], text: [UInt8], signal: Int32, restoring native: Registers) {
        let raw = native.raw
        var bytes = Self.code
        for value in [
            raw.rax, raw.rbx, raw.rcx, raw.rdx, raw.rsi, raw.rdi, raw.r8, raw.r9, raw.r10, raw.r11,
            raw.r12, raw.r13, raw.r14, raw.r15, raw.rip, UInt64(UInt32(bitPattern: signal)),
            RemoteCallStub.marker,
        ] { bytes.append(littleEndian: UInt64(value)) }
        for call in calls.prefix(Self.mostCalls) {
            bytes.append(littleEndian: UInt32(1))
            bytes.append(littleEndian: call.number)
            bytes.append(littleEndian: call.first)
            for index in 0..<6 {
                bytes.append(littleEndian: index < call.rest.count ? call.rest[index] : 0)
            }
        }
        bytes.append(littleEndian: UInt32(0))
        bytes += text.prefix(Self.textSize)
        self.bytes = bytes + [UInt8](repeating: 0, count: Self.size - bytes.count)
    }

    /// Whether these bytes begin with an instance, whatever it does.
    static func isStub(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.starts(with: code) }

    /// The same in each instance.
    private static let code: [UInt8] = {
        var code: [UInt8] = [
            0x48, 0x8d, 0x1d, 0x41, 0x01, 0, 0,  // lea 328(start), %rbx
            0x8b, 0x0b,  // next: mov (%rbx), %ecx
            0xe3, 45,  // jrcxz done
            0x8b, 0x43, 0x04,  // mov 4(%rbx), %eax
            0x48, 0x8b, 0x7b, 0x08,  // mov 8(%rbx), %rdi
            0x8b, 0x73, 0x10,  // mov 16(%rbx), %esi
            0x8b, 0x53, 0x14,  // mov 20(%rbx), %edx
            0x44, 0x8b, 0x53, 0x18,  // mov 24(%rbx), %r10d
            0x44, 0x8b, 0x43, 0x1c,  // mov 28(%rbx), %r8d
            0x44, 0x8b, 0x4b, 0x20,  // mov 32(%rbx), %r9d
            0x48, 0x8d, 0x5b, 0x28,  // lea 40(%rbx), %rbx
            0x0f, 0x05,  // syscall
            0x4d, 0x89, 0xec,  // mov %r13, %r12
            0x4d, 0x89, 0xf5,  // mov %r14, %r13
            0x4d, 0x89, 0xfe,  // mov %r15, %r14
            0x49, 0x89, 0xc7,  // mov %rax, %r15
            0xeb, 0xcf,  // jmp next
            0xb8, 39, 0, 0, 0,  // done: mov $39, %eax: getpid
            0x0f, 0x05,  // syscall
            0x89, 0xc7,  // mov %eax, %edi
        ]
        code.appendAccess([0x8b, 0x35], to: slot(.signal))  // mov signal(%rip), %esi
        code += [0xb8, 200, 0, 0, 0]  // mov $200, %eax: tkill
        code += [0x0f, 0x05]  // syscall
        code.appendAccess([0x48, 0x8b, 0x05], to: slot(.rax))  // mov rax(%rip), %rax, and so on
        code.appendAccess([0x48, 0x8b, 0x1d], to: slot(.rbx))
        code.appendAccess([0x48, 0x8b, 0x0d], to: slot(.rcx))
        code.appendAccess([0x48, 0x8b, 0x15], to: slot(.rdx))
        code.appendAccess([0x48, 0x8b, 0x35], to: slot(.rsi))
        code.appendAccess([0x48, 0x8b, 0x3d], to: slot(.rdi))
        code.appendAccess([0x4c, 0x8b, 0x05], to: slot(.r8))
        code.appendAccess([0x4c, 0x8b, 0x0d], to: slot(.r9))
        code.appendAccess([0x4c, 0x8b, 0x15], to: slot(.r10))
        code.appendAccess([0x4c, 0x8b, 0x1d], to: slot(.r11))
        code.appendAccess([0x4c, 0x8b, 0x25], to: slot(.r12))
        code.appendAccess([0x4c, 0x8b, 0x2d], to: slot(.r13))
        code.appendAccess([0x4c, 0x8b, 0x35], to: slot(.r14))
        code.appendAccess([0x4c, 0x8b, 0x3d], to: slot(.r15))
        code.appendAccess([0xff, 0x25], to: slot(.resume))  // jmp *resume(%rip)
        return code + [UInt8](repeating: 0xcc, count: slots - code.count)  // never reached
    }()
}
