import CLinuxTrace

/// The code by which a thread of the target makes one system call for us and
/// then goes on where it was, whether or not the tool still lives.
///
/// One instance takes 192 bytes: the code, then the values that it puts back. It
/// uses neither the stack nor a flag nor a vector register. A thread that was in
/// its own code enters at its start. A thread that was in a call which the
/// kernel restarts enters behind the `syscall`, with the kernel's restart code in
/// rax: the kernel then goes back two bytes and starts our call, or, where a
/// signal with a handler is pending, gives that call's EINTR, which the stub
/// hands on as the EINTR of the thread's own call.
struct RemoteCallStub {
    static let size = 192
    /// Behind the `syscall` instruction.
    static let afterCall: UInt64 = 2
    /// Stands in the last eight bytes, so that what an interrupted run left
    /// behind is known for what it is.
    static let marker: UInt64 = 0x6863_7461_7074_6f68  // "hotpatch"

    private static let slots = 96
    private enum Slot: Int {
        case rdx, rsi, rdi, r8, r9, r10, r11, rax, rcx, resume, interrupted, marker
    }

    /// The instance as it is written to the target.
    let bytes: [UInt8]

    /// - Parameters:
    ///   - saved: what the thread goes on with after our call.
    ///   - interrupted: where it goes on, with -EINTR in rax, when a signal came first.
    init(restoring saved: Registers, interrupted: UInt64) {
        var code: [UInt8] = [0x0f, 0x05]  // syscall
        let raw = saved.raw
        code.appendAccess([0x48, 0x8b, 0x15], to: Self.slot(.rdx))  // mov rdx(%rip), %rdx
        code.appendAccess([0x48, 0x8b, 0x35], to: Self.slot(.rsi))  // mov rsi(%rip), %rsi
        code.appendAccess([0x48, 0x8b, 0x3d], to: Self.slot(.rdi))  // mov rdi(%rip), %rdi
        code.appendAccess([0x4c, 0x8b, 0x05], to: Self.slot(.r8))  // mov r8(%rip), %r8
        code.appendAccess([0x4c, 0x8b, 0x0d], to: Self.slot(.r9))  // mov r9(%rip), %r9
        code.appendAccess([0x4c, 0x8b, 0x15], to: Self.slot(.r10))  // mov r10(%rip), %r10
        code.appendAccess([0x4c, 0x8b, 0x1d], to: Self.slot(.r11))  // mov r11(%rip), %r11
        code += [0x48, 0x8d, 0x48, 0x04]  // lea 4(%rax), %rcx: 0 where rax is -EINTR
        code += [0xe3, 20]  // jrcxz over the next three instructions
        code.appendAccess([0x48, 0x8b, 0x05], to: Self.slot(.rax))  // mov rax(%rip), %rax
        code.appendAccess([0x48, 0x8b, 0x0d], to: Self.slot(.rcx))  // mov rcx(%rip), %rcx
        code.appendAccess([0xff, 0x25], to: Self.slot(.resume))  // jmp *resume(%rip)
        code.appendAccess([0x48, 0x8b, 0x0d], to: Self.slot(.rcx))  // mov rcx(%rip), %rcx
        code.appendAccess([0xff, 0x25], to: Self.slot(.interrupted))  // jmp *interrupted(%rip)
        code += [UInt8](repeating: 0xcc, count: Self.slots - code.count)  // never reached
        let values: [UInt64] = [
            UInt64(raw.rdx), UInt64(raw.rsi), UInt64(raw.rdi), UInt64(raw.r8), UInt64(raw.r9),
            UInt64(raw.r10), UInt64(raw.r11), UInt64(raw.rax), UInt64(raw.rcx), UInt64(raw.rip),
            interrupted, Self.marker,
        ]
        for value in values { code.append(littleEndian: value) }
        bytes = code
    }

    /// Whether these bytes begin with an instance, whatever it puts back.
    static func isStub(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.starts(with: RemoteCallStub(restoring: Registers(), interrupted: 0).bytes[..<slots])
            && bytes.dropFirst(size - 8).prefix(8).elementsEqual(
                (0..<8).map { UInt8(truncatingIfNeeded: marker >> (8 * UInt64($0))) })
    }

    private static func slot(_ slot: Slot) -> Int { slots + slot.rawValue * 8 }
}

extension [UInt8] {
    /// Appends an instruction whose last four bytes are the distance from its end to
    /// `place`, which is counted from the start of these bytes.
    mutating func appendAccess(_ opcode: [UInt8], to place: Int) {
        let end = count + opcode.count + 4
        self += opcode
        append(littleEndian: UInt32(place - end))
    }

    mutating func append<Number: FixedWidthInteger>(littleEndian number: Number) {
        for index in 0..<Number.bitWidth / 8 {
            append(UInt8(truncatingIfNeeded: number >> (8 * index)))
        }
    }
}
