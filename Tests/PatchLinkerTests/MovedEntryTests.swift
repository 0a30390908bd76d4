import Addresses
import ELFImage
import Patchability
import SystemPackage
import TestSupport
import Testing

@testable import PatchLinker

/// Entry instructions at another place: decoded again, and run.
@Suite struct MovedEntryTests {
    private let site = RemoteAddress(rawValue: 0x7f00_0000_1000)
    private let place = RemoteAddress(rawValue: 0x7f00_0100_0000)

    /// An instruction sequence at the site, and what is expected of it elsewhere.
    struct Case: CustomTestStringConvertible, Sendable {
        let bytes: [UInt8]
        var covering = 5
        var covered: Int?
        /// In AT&T syntax, without the endbr64 at the start. Branch targets are
        /// addresses.
        let text: [String]
        var testDescription: String { text.joined(separator: "; ") }
    }

    @Test(arguments: [
        Case(
            bytes: [0x55, 0x48, 0x89, 0xe5, 0x53],
            text: ["pushq %rbp", "movq %rsp, %rbp", "pushq %rbx", "jmp 0x7f0000001005"]),
        // test %edi,%edi; je +0x10; ret
        Case(
            bytes: [0x85, 0xff, 0x74, 0x10, 0xc3],
            text: ["testl %edi, %edi", "je 0x7f0000001014", "retq"]),
        // nop; jne far ahead
        Case(
            bytes: [0x90, 0x0f, 0x85, 0, 1, 0, 0], covered: 7,
            text: ["nop", "jne 0x7f0000001107", "jmp 0x7f0000001007"]),
        // jmp -2, to itself
        Case(bytes: [0xeb, 0xfe, 0xcc, 0xcc, 0xcc], covered: 2, text: ["jmp 0x7f0001000004"]),
        // jmp behind; what follows is no instruction
        Case(bytes: [0xeb, 0x20, 0x06, 0x06, 0x06], covered: 2, text: ["jmp 0x7f0000001022"]),
        Case(bytes: [0xe9, 0xfb, 0x0f, 0, 0], text: ["jmp 0x7f0000002000"]),
        // call, which returns into the moved entry
        Case(
            bytes: [0x50, 0xe8, 0xfa, 0x0f, 0, 0], covered: 6,
            text: ["pushq %rax", "callq 0x7f0000002000", "jmp 0x7f0000001006"]),
        // a call of the function by itself takes the detour, as any other
        Case(
            bytes: [0xff, 0xcf, 0xe8, 0xf9, 0xff, 0xff, 0xff], covered: 7,
            text: ["decl %edi", "callq 0x7f0000001000", "jmp 0x7f0000001007"]),
        // loop forwards
        Case(
            bytes: [0x89, 0xf9, 0xe2, 0x0c, 0x90],
            text: [
                "movl %edi, %ecx", "loop 0x7f000100000a", "jmp 0x7f000100000f",
                "jmp 0x7f0000001010", "nop", "jmp 0x7f0000001005",
            ]),
        // jecxz to the instruction behind it, which is moved as well
        Case(
            bytes: [0x67, 0xe3, 0x00, 0x89, 0xf8],
            text: [
                "jecxz 0x7f0001000009", "jmp 0x7f000100000e", "jmp 0x7f000100000e",
                "movl %edi, %eax", "jmp 0x7f0000001005",
            ]),
        // an inner loop: xor %eax,%eax; inc %eax; cmp %edi,%eax; jne -6
        Case(
            bytes: [0x31, 0xc0, 0xff, 0xc0, 0x39, 0xf8, 0x75, 0xfa], covering: 7, covered: 8,
            text: [
                "xorl %eax, %eax", "incl %eax", "cmpl %edi, %eax", "jne 0x7f0001000006",
                "jmp 0x7f0000001008",
            ]),
        // je over a ret, to what is moved only for that
        Case(
            bytes: [0x74, 0x01, 0xc3, 0x31, 0xc0, 0xc3], covered: 5,
            text: ["je 0x7f000100000b", "retq", "xorl %eax, %eax", "jmp 0x7f0000001005"]),
        // xbegin, whose target is where an abort leads
        Case(
            bytes: [0xc7, 0xf8, 0x10, 0, 0, 0], covered: 6,
            text: ["xbegin 0x7f0000001016", "jmp 0x7f0000001006"]),
        // a short function and its padding
        Case(
            bytes: [0x89, 0xf8, 0xc3, 0x90, 0x90], covered: 3, text: ["movl %edi, %eax", "retq"]),
        Case(bytes: [0x0f, 0x0b, 0xcc, 0xcc, 0xcc], covered: 2, text: ["ud2"]),
        // syscall at the end of what is covered
        Case(
            bytes: [0x90, 0x90, 0x90, 0x0f, 0x05],
            text: ["nop", "nop", "nop", "syscall", "jmp 0x7f0000001005"]),
    ])
    func instructionsAtAnotherPlace(_ given: Case) throws {
        let moved = try MovedEntry(code: given.bytes, covering: given.covering)
        #expect(moved.covered == given.covered ?? given.covering)
        let code = try #require(moved.code(at: place, movedFrom: site))
        #expect(code.count == moved.size)
        let decoder = try Decoder()
        var lines: [String] = []
        for instruction in try decoded(code, at: place, decoder) {
            lines.append(
                decoder.text(
                    ByteView(code), at: Int(instruction.address.rawValue - place.rawValue),
                    address: instruction.address))
        }
        #expect(lines == ["endbr64"] + given.text)
    }

    /// Operands in memory, with and without an immediate behind them.
    @Test(
        arguments: [
            [0x48, 0x8b, 0x05, 0xf9, 0x0f, 0, 0],  // mov x(%rip),%rax
            [0x48, 0x8d, 0x3d, 0xf9, 0x0f, 0, 0],  // lea x(%rip),%rdi
            [0x83, 0x3d, 0xf9, 0x0f, 0, 0, 0x05],  // cmpl $5,x(%rip)
            [0x66, 0x81, 0x3d, 0xf7, 0x0f, 0, 0, 0x03, 0x03],  // cmpw $0x303,x(%rip)
            [0xc7, 0x05, 0xf6, 0x0f, 0, 0, 1, 2, 3, 4],  // movl $0x4030201,x(%rip)
            [0xf6, 0x05, 0xf9, 0x0f, 0, 0, 0x80],  // testb $0x80,x(%rip)
            [0xff, 0x15, 0xfa, 0x0f, 0, 0],  // call *x(%rip)
            [0xff, 0x25, 0xfa, 0x0f, 0, 0],  // jmp *x(%rip)
            [0x0f, 0x28, 0x05, 0xf9, 0x0f, 0, 0],  // movaps x(%rip),%xmm0
            [0xc5, 0xfc, 0x28, 0x05, 0xf8, 0x0f, 0, 0],  // vmovaps x(%rip),%ymm0
            [0xc4, 0xe3, 0x7d, 0x18, 0x05, 0xf6, 0x0f, 0, 0, 1],  // vinsertf128 $1,x(%rip),…
            [0x62, 0xf1, 0x7c, 0x48, 0x28, 0x05, 0xf6, 0x0f, 0, 0],  // vmovaps x(%rip),%zmm0
            [0xf0, 0x48, 0x0f, 0xb1, 0x0d, 0xf7, 0x0f, 0, 0],  // lock cmpxchg %rcx,x(%rip)
        ] as [[UInt8]])
    func operandsNameTheSameAddress(_ bytes: [UInt8]) throws {
        let moved = try MovedEntry(code: bytes, covering: 5)
        let code = try #require(moved.code(at: place, movedFrom: site))
        let decoder = try Decoder()
        let instruction = try #require(try decoded(code, at: place, decoder).dropFirst().first)
        #expect(instruction.ripRelativeAddress?.rawValue == 0x7f00_0000_2000)
        try expectSame(bytes, moved, decoder)
    }

    @Test(
        arguments: [
            ([0x55, 0x48], .undecodable(offset: 1, bytes: [0x48])),
            ([0x55, 0x53], .ends(available: 2)),
            ([], .ends(available: 0)),
            ([0x06, 0, 0, 0, 0], .undecodable(offset: 0, bytes: [0x06, 0, 0, 0, 0])),
            ([0x90, 0xcc, 0x90, 0x90, 0x90], .breakpoint(offset: 1)),
            ([0xf1, 0x90, 0x90, 0x90, 0x90], .breakpoint(offset: 0)),
            // call +0; pop %rax
            ([0xe8, 0, 0, 0, 0, 0x58], .takesReturnAddress(offset: 0)),
            // call to the instruction behind it, with two nops in between
            ([0x90, 0xe8, 0xfb, 0xff, 0xff, 0xff], .takesReturnAddress(offset: 1)),
            // data16 je
            (
                [0x66, 0x74, 0x10, 0x90, 0x90], .narrowBranch(offset: 0, bytes: [0x66, 0x74, 0x10])
            ),
            // data16 jmp *%rax
            ([0x66, 0xff, 0xe0], .narrowBranch(offset: 0, bytes: [0x66, 0xff, 0xe0])),
            // mov x(%eip),%eax
            (
                [0x67, 0x8b, 0x05, 0, 1, 0, 0],
                .narrowAddress(offset: 0, bytes: [0x67, 0x8b, 0x05, 0, 1, 0, 0])
            ),
            // je to the second byte of the mov behind it
            ([0x74, 0x01, 0x48, 0x89, 0xe5], .leadsIntoInstruction(offset: 0, target: 3)),
            // ten prefixes and je
            (
                [UInt8](repeating: 0x3e, count: 10) + [0x74, 0x10],
                .overlong(offset: 0, bytes: [UInt8](repeating: 0x3e, count: 10) + [0x74, 0x10])
            ),
        ] as [([UInt8], MoveRefusal)])
    func whatCannotBeMoved(_ bytes: [UInt8], _ refusal: MoveRefusal) {
        #expect(throws: refusal) { try MovedEntry(code: bytes, covering: 5) }
        #expect(!refusal.description.isEmpty && refusal.code.hasPrefix("move."))
    }

    @Test func reachEndsAtTwoGigabytes() throws {
        // mov x(%rip),%rax, where x is the site
        let moved = try MovedEntry(code: [0x48, 0x8b, 0x05, 0xf9, 0xff, 0xff, 0xff], covering: 5)
        let limit = site.rawValue + 0x8000_0000
        // The jump behind reaches less far, from 16 bytes later to 7 bytes on.
        let last = RemoteAddress(rawValue: limit - 11)
        #expect(moved.code(at: last, movedFrom: site) != nil)
        let next = RemoteAddress(rawValue: limit - 10)
        #expect(moved.code(at: next, movedFrom: site) == nil)
        #expect(moved.code(at: RemoteAddress(rawValue: 0x1000), movedFrom: site) == nil)
        #expect(moved.code(at: RemoteAddress(rawValue: .max), movedFrom: site) == nil)
    }

    /// Every function of a large library that a detour fits into.
    @Test(arguments: ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libcapstone.so.4"])
    func entriesOfALibrary(_ path: String) throws {
        let image = try ELFImage.open(path: FilePath(path))
        let decoder = try Decoder()
        var count = 0
        var refused: [String] = []
        for function in try FunctionCatalog(image) {
            guard let site = function.verdict.site?.address,
                let section = image.section(at: site)
            else { continue }
            let offset = Int(site.rawValue - section.address.rawValue)
            let bytes = try image.bytes(of: section)
            let code = bytes.slice(offset, min(32, bytes.count - offset))?.array() ?? []
            count += 1
            let moved: MovedEntry
            do {
                moved = try MovedEntry(code: code, covering: 5)
            } catch {
                refused.append("\(function.displayName): \(error)")
                continue
            }
            try expectSame(code, moved, decoder)
        }
        #expect(count > 500)
        #expect(refused.count * 1000 <= count, "\(count) functions, refused: \(refused)")
    }

    /// Whatever bytes there are: refused, or moved as well as compilers' code.
    @Test func anyBytes() throws {
        let decoder = try Decoder()
        var random = SplitMix(state: 7)
        var moved = 0
        for _ in 0..<20_000 {
            var code = (0..<24).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            // Branches are what there is to get wrong.
            if random.next() & 1 == 0 {
                code[Int(random.next() % 5)] =
                    [0x74, 0xeb, 0xe2, 0xe3, 0xe8][
                        Int(random.next() % 5)]
                code[Int(random.next() % 5)] = UInt8(random.next() % 12) &- 6
            }
            guard let entry = try? MovedEntry(code: code, covering: Int(random.next() % 9)) else {
                continue
            }
            moved += 1
            // Where a displacement leads out of reach, there is no code.
            if entry.code(at: place, movedFrom: site) != nil {
                try expectSame(code, entry, decoder)
            }
        }
        #expect(moved > 4_000)
    }

    /// Moves the entries of a program's functions, destroys the original ones,
    /// and runs it: each does what its untouched copy does.
    @Test func movedEntriesRun() throws {
        let folder = Fixture.sources.appending("moved")
        let directory = try TemporaryDirectory()
        let program = directory.path.appending("moved")
        try Fixture.compile(
            source: folder.appending("main.c"), to: program,
            flags: ["-O1", "-no-pie", folder.appending("functions.S").string])
        var file = try program.bytes()
        let image = try ELFImage.open(path: program)
        let names = try moveEntries(of: image, in: &file)
        try program.write(file, permissions: [.ownerReadWriteExecute])
        let command = try Command.run(program.string)
        #expect(command.exit == .exited(0), "\(command.output)")
        #expect(command.output.split(separator: "\n").last == "done")
        let same = command.output.split(separator: "\n").filter { $0.hasSuffix(" same") }
        #expect(Set(same.map { String($0.dropLast(5)) }) == Set(names))
        #expect(names.count > 60)
    }

    /// Where more than a site is moved, so that branches among the moved
    /// instructions are.
    private let wider = ["inner_loop": 12, "inner_skip": 10, "behind_return": 10]

    private func moveEntries(of image: ELFImage, in file: inout [UInt8]) throws -> [String] {
        let table = try #require(try image.symbolTable(.full))
        let indexes = 0..<table.count
        let sites = indexes.filter { table.name($0)?.hasPrefix("site_") == true }
        var names: [String] = []
        for index in sites {
            let name = String(try #require(table.name(index)).dropFirst(5))
            let entry = try #require(table[index])
            let slot = try #require(
                table.indexes(named: "moved_" + name).first.flatMap { table[$0] })
            let from = try offset(of: entry.value, in: image)
            let code = Array(file[from..<from + Int(entry.size)])
            let moved = try MovedEntry(code: code, covering: wider[name] ?? 5)
            let bytes = try #require(
                moved.code(
                    at: RemoteAddress(rawValue: slot.value.rawValue),
                    movedFrom: RemoteAddress(rawValue: entry.value.rawValue)))
            #expect(bytes.count <= Int(slot.size))
            let to = try offset(of: slot.value, in: image)
            file.replaceSubrange(to..<to + bytes.count, with: bytes)
            // int3 where a detour would stand, so that nothing goes there.
            let gone = from..<from + max(5, moved.covered)
            file.replaceSubrange(gone, with: [UInt8](repeating: 0xcc, count: gone.count))
            names.append(name)
        }
        return names
    }

    private func offset(of address: LinkAddress, in image: ELFImage) throws -> Int {
        let section = try #require(image.section(at: address))
        return Int(section.offset.rawValue + address.rawValue - section.address.rawValue)
    }

    // MARK: - Comparing

    private func decoded(
        _ code: [UInt8], at address: RemoteAddress, _ decoder: borrowing Decoder
    ) throws -> [Instruction<RemoteAddress>] {
        var instructions: [Instruction<RemoteAddress>] = []
        var offset = 0
        while offset < code.count {
            let here = RemoteAddress(rawValue: address.rawValue + UInt64(offset))
            let found = decoder.decode(code, at: offset, address: here)
            let instruction = try #require(found)
            instructions.append(instruction)
            offset += instruction.length
        }
        return instructions
    }

    /// Decodes the moved code again and holds it against the original: the same
    /// operations on the same operands, which lead to the same places.
    private func expectSame(
        _ original: [UInt8], _ entry: MovedEntry, _ decoder: borrowing Decoder
    ) throws {
        let code = try #require(entry.code(at: place, movedFrom: site))
        #expect(code.count == entry.size)
        var moved = try decoded(code, at: place, decoder)[...]
        let mark = moved.removeFirst()
        #expect(mark.opcode == .endbr64)
        let originals = try decoded(Array(original[..<entry.covered]), at: site, decoder)
        var copies: [RemoteAddress: RemoteAddress] = [:]
        var branches: [(from: RemoteAddress, to: RemoteAddress)] = []
        for instruction in originals {
            let next = moved.popFirst()
            var copy = try #require(next)
            copies[instruction.address] = copy.address
            #expect(copy.opcode == instruction.opcode && copy.flow == instruction.flow)
            #expect(copy.reads == instruction.reads && copy.writes == instruction.writes)
            #expect(copy.ripRelativeAddress == instruction.ripRelativeAddress)
            if instruction.ripDisplacementOffset == nil, instruction.target == nil {
                let from = Int(instruction.address.rawValue - site.rawValue)
                let to = Int(copy.address.rawValue - place.rawValue)
                #expect(original[from..<from + instruction.length] == code[to..<to + copy.length])
            }
            guard let target = instruction.target else { continue }
            if copy.branchDisplacementSize == 1 {
                let (second, third) = (moved.popFirst(), moved.popFirst())
                let skip = try #require(second)
                let jump = try #require(third)
                #expect(copy.target == jump.address)
                #expect(skip.flow == .jump && skip.target == jump.end)
                copy = jump
            }
            // A call of the function by itself takes the detour.
            if instruction.flow == .call {
                #expect(copy.target == target)
            } else {
                branches.append((from: target, to: try #require(copy.target)))
            }
        }
        for branch in branches { #expect(branch.to == copies[branch.from] ?? branch.from) }
        let end = RemoteAddress(rawValue: site.rawValue + UInt64(entry.covered))
        switch originals.last?.flow {
        case .jump, .return, .stop: break
        default:
            let jump = moved.popFirst()
            #expect(jump?.target == end)
        }
        #expect(moved.isEmpty)
    }
}
