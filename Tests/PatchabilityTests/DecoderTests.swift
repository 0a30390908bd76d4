import Addresses
import ELFImage
import SystemPackage
import Testing

@testable import Patchability

@Suite struct DecoderTests {
    private func decode(_ bytes: [UInt8]) throws -> Instruction<LinkAddress>? {
        try Decoder().decode(bytes, address: LinkAddress(rawValue: 0x1000))
    }

    @Test func operandsOfALoad() throws {
        // mov -0x10(%rbp,%rcx,4),%eax
        let load = try #require(try decode([0x8b, 0x44, 0x8d, 0xf0]))
        #expect(load.length == 4)
        #expect(load.reads == [RegisterSet(.rbp), RegisterSet(.rcx)])
        #expect(load.writes == RegisterSet(.rax))
        #expect(
            load.operands == [
                .register(.rax, bytes: 4),
                .memory(
                    .init(
                        base: .rbp, index: .rcx, scale: 4, displacement: -16,
                        isRIPRelative: false, hasSegment: false, bytes: 4)),
            ])
    }

    @Test func targets() throws {
        // call 0x1000 - 0x10
        let call = try #require(try decode([0xe8, 0xeb, 0xff, 0xff, 0xff]))
        #expect(call.flow == .call)
        #expect(call.target == LinkAddress(rawValue: 0xff0))
        // lea 0x10(%rip),%rax
        let lea = try #require(try decode([0x48, 0x8d, 0x05, 0x10, 0, 0, 0]))
        #expect(lea.opcode == .lea)
        #expect(lea.ripRelativeAddress == LinkAddress(rawValue: 0x1017))
        // jrcxz 0x1000
        #expect(try decode([0xe3, 0xfe])?.target == LinkAddress(rawValue: 0x1000))
        // notrack jmp *%rax
        let indirect = try #require(try decode([0x3e, 0xff, 0xe0]))
        #expect(indirect.flow == .jump)
        #expect(indirect.target == nil)
    }

    /// What Capstone 4 leaves out of its tables, by the SDM.
    @Test(
        arguments: [
            // syscall
            ([0x0f, 0x05], [.rax, .rcx, .r(11)]),
            // cmpxchg %rcx,(%rdi)
            ([0x48, 0x0f, 0xb1, 0x0f], [.rax]),
            // div %rcx
            ([0x48, 0xf7, 0xf1], [.rax, .rdx]),
            // rep movsb
            ([0xf3, 0xa4], [.rdi, .rsi, .rcx]),
            // vpgatherdd %ymm2,(%rax,%ymm1,4),%ymm0
            ([0xc4, 0xe2, 0x6d, 0x90, 0x04, 0x88], [.xmm(0), .xmm(2)]),
            // vzeroupper
            ([0xc5, 0xf8, 0x77], [.xmm(0), .xmm(15)]),
            // kmovd %k1,%eax, of which Capstone 4 knows nothing
            ([0xc5, 0xfb, 0x93, 0xc1], [.rax]),
            // xchg %eax,%ecx
            ([0x87, 0xc8], [.rax, .rcx]),
        ] as [([UInt8], [Register])])
    func writtenRegisters(_ bytes: [UInt8], _ registers: [Register]) throws {
        let instruction = try #require(try decode(bytes))
        #expect(instruction.length == bytes.count)
        for register in registers {
            #expect(instruction.writes.isSuperset(of: RegisterSet(register)), "\(register)")
        }
    }

    @Test func textIsForPeople() throws {
        let decoder = try Decoder()
        let address = LinkAddress(rawValue: 0x1000)
        #expect(decoder.text(ByteView([0x48, 0x89, 0xe5]), address: address) == "movq %rsp, %rbp")
        #expect(decoder.text(ByteView([0xc3]), address: address) == "retq")
        #expect(decoder.text(ByteView([0x06, 0x07]), address: address) == ".byte 0x6")
    }

    @Test func shapesAreQuickAnswers() {
        #expect(InstructionShape(ByteView([0xf3, 0x0f, 0x1e, 0xfa]))?.isEndbr64 == true)
        // nopw %cs:0x0(%rax,%rax,1)
        let nop: [UInt8] = [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]
        #expect(InstructionShape(ByteView(nop))?.length == 10)
        #expect(InstructionShape(ByteView(nop))?.isPadding == true)
        #expect(InstructionShape(ByteView(Array(nop.dropLast()))) == nil)
        // pause is no padding
        #expect(InstructionShape(ByteView([0xf3, 0x90]))?.isPadding == false)
        // xchg %r8,%rax
        #expect(InstructionShape(ByteView([0x49, 0x90]))?.isPadding == false)
        // call rel16 on AMD, rel32 on Intel
        #expect(InstructionShape(ByteView([0x66, 0xe8, 0, 0, 0, 0])) == nil)
        // data16 data16 rex.w call: what the TLS sequence pads with
        #expect(InstructionShape(ByteView([0x66, 0x66, 0x48, 0xe8, 0, 0, 0, 0]))?.flow == .call)
    }

    /// Two decoders that know nothing of each other agree over a megabyte of code:
    /// `decode` knows only the length where they do not.
    @Test func shapesAgreeWithCapstone() throws {
        let image = try ELFImage.open(path: "/lib/x86_64-linux-gnu/libc.so.6")
        let section = try #require(image.section(named: ".text"))
        let bytes = try image.bytes(of: section)
        let decoder = try Decoder()
        var position = 0
        var count = 0
        var unknown = 0
        while position < min(bytes.count, 1 << 20) {
            let address = section.address.wrapping(by: Int64(position))
            guard let instruction = decoder.decode(bytes, at: position, address: address) else {
                Issue.record("no instruction at \(address)")
                return
            }
            count += 1
            unknown += instruction.opcode == .unknown ? 1 : 0
            position += instruction.length
        }
        // AVX-512 and newer, in some string functions.
        #expect(unknown * 100 < count, "\(unknown) of \(count)")
    }
}
