import Addresses
import CLinuxTrace

/// The code by which a thread that stands at its exec maps a file in memory for us and
/// then stops once, or goes on where it was where the tool is gone.
///
///     0    224  the code
///     224  144  what it puts back, the signal that it sends itself, the file's flags, and
///               the marker
///     368  80   up to three ranges of 24 bytes each, and the word that ends them
///     448  64   the file's name
///
/// The stop is that of a signal which means nothing to a program that has just been
/// started, and which the kernel shows to a tracer all the same (kernel/signal.c,
/// sig_ignored): who is not traced any more does not even get it. Registers that the
/// calls or this code change are put back from beside it; it uses no stack.
struct HeldRunStub {
    /// It lies at a multiple of it, and so within a page.
    static let size = 512
    static let mostParts = 3
    static let nameSize = 64
    /// Behind the call that sends the signal, from the start.
    static let end: UInt64 = 111

    private static let slots = 224
    private static let parts = 368
    private static let name = 448
    private enum Slot: Int {
        case rax, rbx, rcx, rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15, resume, signal
        case flags, marker
    }

    private static func slot(_ slot: Slot) -> Int { slots + slot.rawValue * 8 }

    /// A range that is mapped.
    struct Part {
        let start: UInt64
        let count: UInt32
        /// PROT_*.
        let protection: UInt32
        /// In the file.
        let offset: UInt32
    }

    let bytes: [UInt8]

    /// - Parameters:
    ///   - parts: at most three.
    ///   - name: of the file, at most 63 bytes; `flags` as of memfd_create(2).
    ///   - native: what the thread goes on with.
    init(
        mapping parts: [Part], ofFileNamed name: [UInt8], flags: UInt32, signal: Int32,
        restoring native: Registers
    ) {
        let raw = native.raw
        var bytes = Self.code
        for value in [
            raw.rax, raw.rbx, raw.rcx, raw.rdx, raw.rsi, raw.rdi, raw.r8, raw.r9, raw.r10, raw.r11,
            raw.r12, raw.r13, raw.r14, raw.r15, raw.rip, UInt64(UInt32(bitPattern: signal)),
            UInt64(flags), RemoteCallStub.marker,
        ] { bytes.append(littleEndian: UInt64(value)) }
        for part in parts.prefix(Self.mostParts) {
            bytes.append(littleEndian: part.start)
            bytes.append(littleEndian: part.count)
            bytes.append(littleEndian: part.protection)
            bytes.append(littleEndian: part.offset)
            bytes.append(littleEndian: UInt32(0))
        }
        bytes += [UInt8](repeating: 0, count: Self.name - bytes.count)
        bytes += name.prefix(Self.nameSize - 1)
        self.bytes = bytes + [UInt8](repeating: 0, count: Self.size - bytes.count)
    }

    /// Whether these bytes begin with an instance, whatever it does.
    static func isStub(_ bytes: ArraySlice<UInt8>) -> Bool { bytes.starts(with: code) }

    /// The same in each instance. The file is in r12, and what the mappings have answered
    /// in r13 to r15, the last in r15.
    private static let code: [UInt8] = {
        var code: [UInt8] = []
        code.appendAccess([0x48, 0x8d, 0x3d], to: name)  // lea name(%rip), %rdi
        code.appendAccess([0x8b, 0x35], to: slot(.flags))  // mov flags(%rip), %esi
        code += [0xb8, 0x3f, 0x01, 0, 0]  // mov $319, %eax: memfd_create
        code += [0x0f, 0x05]  // syscall
        code += [0x49, 0x89, 0xc4]  // mov %rax, %r12
        code.appendAccess([0x48, 0x8d, 0x1d], to: parts)  // lea parts(%rip), %rbx
        code += [
            0x48, 0x8b, 0x0b,  // next: mov (%rbx), %rcx
            0xe3, 44,  // jrcxz done
            0x48, 0x89, 0xcf,  // mov %rcx, %rdi
            0x8b, 0x73, 0x08,  // mov 8(%rbx), %esi
            0x8b, 0x53, 0x0c,  // mov 12(%rbx), %edx
            0x44, 0x8b, 0x4b, 0x10,  // mov 16(%rbx), %r9d
            0x41, 0xba, 0x02, 0, 0x10, 0,  // mov $0x100002, %r10d: PRIVATE, FIXED_NOREPLACE
            0x45, 0x89, 0xe0,  // mov %r12d, %r8d
            0x48, 0x8d, 0x5b, 0x18,  // lea 24(%rbx), %rbx
            0xb8, 9, 0, 0, 0,  // mov $9, %eax: mmap
            0x0f, 0x05,  // syscall
            0x4d, 0x89, 0xf5,  // mov %r14, %r13
            0x4d, 0x89, 0xfe,  // mov %r15, %r14
            0x49, 0x89, 0xc7,  // mov %rax, %r15
            0xeb, 0xcf,  // jmp next
            0x44, 0x89, 0xe7,  // done: mov %r12d, %edi
            0xb8, 3, 0, 0, 0,  // mov $3, %eax: close
            0x0f, 0x05,  // syscall
            0xb8, 39, 0, 0, 0,  // mov $39, %eax: getpid
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
