import Addresses

/// The code that a function's entry leads through while several functions are
/// being switched: one word decides for all of them at once.
///
/// It is entered in place of the function, so it keeps every register and flag;
/// at a function's entry nothing of value lies below the stack pointer. A tool that
/// dies in the middle of a switch leaves it in use for as long as it takes until
/// somebody tidies up.
///
///     push %rcx
///     mov  decision(%rip),%rcx      where the word is
///     mov  (%rcx),%rcx
///     jrcxz 1f
///     pop  %rcx
///     notrack jmp *after(%rip)
///  1: pop  %rcx
///     notrack jmp *before(%rip)
public enum DetourStub {
    /// Bytes that a stub takes.
    public static let length: UInt64 = 32

    /// nil where the payload's own words are out of reach.
    static func code(
        at address: RemoteAddress, decision: RemoteAddress, before: RemoteAddress,
        after: RemoteAddress
    ) -> [UInt8]? {
        var code = CodeBuffer(at: address)
        code.append([0x51])  // push %rcx
        guard code.relative([0x48, 0x8b, 0x0d], decision) else { return nil }  // mov (%rip),%rcx
        code.append([0x48, 0x8b, 0x09])  // mov (%rcx),%rcx
        code.append([0xe3, 0x08])  // jrcxz over the next two instructions
        code.append([0x59])  // pop %rcx
        guard code.relative([0x3e, 0xff, 0x25], after) else { return nil }  // notrack jmp *(%rip)
        code.append([0x59])  // pop %rcx
        guard code.relative([0x3e, 0xff, 0x25], before) else { return nil }  // notrack jmp *(%rip)
        let padding = Int(length) - code.bytes.count
        return code.bytes + [UInt8](repeating: 0xcc, count: padding)  // int3, never reached
    }
}
