import Addresses

/// Code by which the payload reaches functions of other objects.
enum CallStub {
    /// `jmp *word(%rip)` through a word of the global offset table, as a
    /// procedure linkage table does (psABI 5.2).
    static let directLength: UInt64 = 8

    static func direct(at address: RemoteAddress, through word: RemoteAddress) -> [UInt8]? {
        var code = CodeBuffer(at: address)
        guard code.relative([0xff, 0x25], word) else { return nil }  // jmp *word(%rip)
        code.append([0x66, 0x90])  // xchg %ax,%ax
        return code.bytes
    }

    /// A function whose address its own resolver chooses (`STT_GNU_IFUNC`).
    ///
    /// The resolver is code of the target, so it runs in the thread that first
    /// calls the function, as ordinary code of that thread. The word starts as the
    /// address of the slow half; two threads that come at once store the same.
    /// All argument registers of the psABI are kept, vector registers with moves
    /// that leave their upper halves alone (resolvers are built for the baseline
    /// and do not touch these).
    ///
    /// - Parameters:
    ///   - word: a writable word of the payload, for the function's address.
    ///   - resolverWord: a word that holds the resolver's address.
    /// - Returns: the code, and the address that the word must start with.
    static func resolving(
        at address: RemoteAddress, through word: RemoteAddress, resolverWord: RemoteAddress
    ) -> (code: [UInt8], initialWord: RemoteAddress)? {
        var code = CodeBuffer(at: address)
        code.append([0xf3, 0x0f, 0x1e, 0xfa])  // endbr64: its address may be taken
        guard code.relative([0xff, 0x25], word),  // jmp *word(%rip)
            let slowHalf = address.advanced(by: UInt64(code.bytes.count))
        else { return nil }
        code.append([0xf3, 0x0f, 0x1e, 0xfa])  // endbr64: reached by the jump above
        code.append([0x50, 0x57, 0x56, 0x52, 0x51])  // push %rax %rdi %rsi %rdx %rcx
        code.append([0x41, 0x50, 0x41, 0x51])  // push %r8; push %r9
        code.append([0x41, 0x52, 0x41, 0x53])  // push %r10; push %r11: rsp is aligned again
        code.append([0x48, 0x81, 0xec, 0x80, 0, 0, 0])  // sub $128,%rsp
        for number in UInt8(0)..<8 {
            // movaps %xmmN,16*N(%rsp)
            code.append([0x0f, 0x29, 0x44 | number << 3, 0x24, number * 16])
        }
        guard code.relative([0xff, 0x15], resolverWord) else { return nil }  // call *resolver(%rip)
        guard code.relative([0x48, 0x89, 0x05], word) else { return nil }  // mov %rax,word(%rip)
        for number in UInt8(0)..<8 {
            // movaps 16*N(%rsp),%xmmN
            code.append([0x0f, 0x28, 0x44 | number << 3, 0x24, number * 16])
        }
        code.append([0x48, 0x81, 0xc4, 0x80, 0, 0, 0])  // add $128,%rsp
        code.append([0x41, 0x5b, 0x41, 0x5a])  // pop %r11; pop %r10
        code.append([0x41, 0x59, 0x41, 0x58])  // pop %r9; pop %r8
        code.append([0x59, 0x5a, 0x5e, 0x5f, 0x58])  // pop %rcx %rdx %rsi %rdi %rax
        guard code.relative([0xff, 0x25], word) else { return nil }  // jmp *word(%rip)
        return (code.bytes, slowHalf)
    }
}
