import Addresses
import ELFImage
import Patchability
import Testing

/// Which functions have no end.
@Suite struct ReturnSearchTests {
    private func neverReturns(_ parts: (start: UInt64, code: [UInt8])...) throws -> Bool {
        FunctionCode(
            parts.map { .init(start: LinkAddress(rawValue: $0.start), bytes: ByteView($0.code)) }
        ).neverReturns(try Decoder())
    }

    @Test func aLoopAroundACallHasNoEnd() throws {
        // push %rbp; 1: call 0x2000; jmp 1b; then unreachable: ret
        let loop: [UInt8] = [0x55, 0xe8, 0xfa, 0x0f, 0, 0, 0xeb, 0xf9, 0xc3]
        #expect(try neverReturns((0x1000, loop)))
    }

    @Test func aLoopWithAWayOutHasAnEnd() throws {
        // 1: test %eax,%eax; je 2f; jmp 1b; 2: ret
        #expect(try !neverReturns((0x1000, [0x85, 0xc0, 0x74, 0x02, 0xeb, 0xfa, 0xc3])))
        // 1: test %eax,%eax; je 0x3000; jmp 1b: a jump to another function
        let elsewhere: [UInt8] = [0x85, 0xc0, 0x0f, 0x84, 0xf8, 0x1f, 0, 0, 0xeb, 0xf6]
        #expect(try !neverReturns((0x1000, elsewhere)))
        // The same where that is a part of this one: ud2; or ret
        #expect(try neverReturns((0x1000, elsewhere), (0x3000, [0x0f, 0x0b])))
        #expect(try !neverReturns((0x1000, elsewhere), (0x3000, [0xc3])))
    }

    @Test func whatCannotBeToldCountsAsAnEnd() throws {
        // jmp *%rax; an unknown instruction (0x06); mov %eax,%eax and no more; nothing
        #expect(try !neverReturns((0x1000, [0xff, 0xe0])))
        #expect(try !neverReturns((0x1000, [0x06])))
        #expect(try !neverReturns((0x1000, [0x89, 0xc0])))
        #expect(try !neverReturns((0x1000, [])))
        // A jump into a fragment whose bytes are not known.
        #expect(try !neverReturns((0x1000, [0xe9, 0xfb, 0x0f, 0, 0]), (0x2000, [])))
    }

    /// A jump table leads to any place of the function, and to no other.
    @Test func aSwitchInALoopHasAnEndWhereAnythingReturns() throws {
        let head: [UInt8] = [
            0x48, 0x63, 0x04, 0x83,  // movslq (%rbx,%rax,4),%rax
            0x48, 0x01, 0xd8,  // add %rbx,%rax
        ]
        let jump: [UInt8] = [0x3e, 0xff, 0xe0]  // notrack jmp *%rax
        let rest: [UInt8] = [0xe8, 0, 0, 0, 0, 0xeb, 0xef]  // call; jmp to the start
        #expect(try neverReturns((0x1000, head + jump + rest)))
        #expect(try !neverReturns((0x1000, head + jump + rest + [0xc3])))
        #expect(try !neverReturns((0x1000, head + jump + rest), (0x2000, [0xc3])))
        // pop %rax before the jump; movslq 8(%rbx),%rax: pointers to other functions
        #expect(try !neverReturns((0x1000, head + [0x58] + jump + rest)))
        let pointer: [UInt8] = [0x48, 0x63, 0x43, 0x08] + head.suffix(3)
        #expect(try !neverReturns((0x1000, pointer + jump + rest)))
    }

    @Test func aLastCallIsNotReturnedTo() throws {
        // sub $8,%rsp; call exit
        #expect(try neverReturns((0x1000, [0x48, 0x83, 0xec, 0x08, 0xe8, 0, 0x10, 0, 0])))
    }

    @Test func hostileAddressesDoNotTrap() throws {
        // jmp .+2 at the very end of the address space; jmp far before its start
        #expect(try !neverReturns((.max - 1, [0xeb, 0x00])))
        #expect(try !neverReturns((0, [0xe9, 0, 0, 0, 0x80])))
    }
}
