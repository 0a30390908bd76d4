import Addresses
import ELFImage
import Patchability
import Testing

/// Which functions have no end.
@Suite struct ReturnSearchTests {
    private func neverReturns(_ parts: (start: UInt64, code: [UInt8])...) -> Bool {
        FunctionCode(
            parts.map { .init(start: LinkAddress(rawValue: $0.start), bytes: ByteView($0.code)) }
        ).neverReturns
    }

    @Test func aLoopAroundACallHasNoEnd() {
        // push %rbp; 1: call 0x2000; jmp 1b; then unreachable: ret
        let loop: [UInt8] = [0x55, 0xe8, 0xfa, 0x0f, 0, 0, 0xeb, 0xf9, 0xc3]
        #expect(neverReturns((0x1000, loop)))
    }

    @Test func aLoopWithAWayOutHasAnEnd() {
        // 1: test %eax,%eax; je 2f; jmp 1b; 2: ret
        #expect(!neverReturns((0x1000, [0x85, 0xc0, 0x74, 0x02, 0xeb, 0xfa, 0xc3])))
        // 1: test %eax,%eax; je 0x3000; jmp 1b: a jump to another function
        let elsewhere: [UInt8] = [0x85, 0xc0, 0x0f, 0x84, 0xf8, 0x1f, 0, 0, 0xeb, 0xf6]
        #expect(!neverReturns((0x1000, elsewhere)))
        // The same where that is a part of this one: ud2; or ret
        #expect(neverReturns((0x1000, elsewhere), (0x3000, [0x0f, 0x0b])))
        #expect(!neverReturns((0x1000, elsewhere), (0x3000, [0xc3])))
    }

    @Test func whatCannotBeToldCountsAsAnEnd() {
        // jmp *%rax; an unknown instruction (0x06); mov %eax,%eax and no more; nothing
        #expect(!neverReturns((0x1000, [0xff, 0xe0])))
        #expect(!neverReturns((0x1000, [0x06])))
        #expect(!neverReturns((0x1000, [0x89, 0xc0])))
        #expect(!neverReturns((0x1000, [])))
        // A jump into a fragment whose bytes are not known.
        #expect(!neverReturns((0x1000, [0xe9, 0xfb, 0x0f, 0, 0]), (0x2000, [])))
    }

    @Test func aLastCallIsNotReturnedTo() {
        // sub $8,%rsp; call exit
        #expect(neverReturns((0x1000, [0x48, 0x83, 0xec, 0x08, 0xe8, 0, 0x10, 0, 0])))
    }

    @Test func hostileAddressesDoNotTrap() {
        // jmp .+2 at the very end of the address space; jmp far before its start
        #expect(!neverReturns((.max - 1, [0xeb, 0x00])))
        #expect(!neverReturns((0, [0xe9, 0, 0, 0, 0x80])))
    }
}
