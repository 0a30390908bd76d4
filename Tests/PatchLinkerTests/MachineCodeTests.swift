import Addresses
import ELFImage
import PatchFile
import Patchability
import Testing

@testable import PatchLinker

/// What the linker writes as machine code, decoded again.
@Suite struct MachineCodeTests {
    private let place = RemoteAddress(rawValue: 0x7f00_0000_1000)

    private func text(_ code: [UInt8], at address: RemoteAddress) throws -> [String] {
        let decoder = try Decoder()
        let bytes = ByteView(code)
        var lines: [String] = []
        var offset = 0
        while offset < code.count {
            let here = try #require(address.advanced(by: UInt64(offset)))
            let instruction = decoder.decode(bytes, at: offset, address: here)
            lines.append(decoder.text(bytes, at: offset, address: here))
            offset += try #require(instruction, "undecodable at \(offset)").length
        }
        return lines
    }

    @Test func directStubJumpsThroughItsWord() throws {
        let word = RemoteAddress(rawValue: 0x7f00_0000_0800)
        let code = try #require(CallStub.direct(at: place, through: word))
        #expect(UInt64(code.count) == CallStub.directLength)
        let lines = try text(code, at: place)
        #expect(lines.first == "jmpq *-0x806(%rip)")
    }

    @Test func resolvingStubKeepsEveryArgumentRegisterAndAlignsTheStack() throws {
        let word = RemoteAddress(rawValue: 0x7f00_0000_3000)
        let resolver = RemoteAddress(rawValue: 0x7f00_0000_0800)
        let stub = try #require(
            CallStub.resolving(at: place, through: word, resolverWord: resolver))
        let lines = try text(stub.code, at: place)
        #expect(stub.initialWord.rawValue == place.rawValue + 10)
        #expect(lines[0] == "endbr64" && lines[2] == "endbr64")
        let pushes = lines.filter { $0.hasPrefix("pushq %") }.map { $0.dropFirst(7) }
        let pops = lines.filter { $0.hasPrefix("popq %") }.map { $0.dropFirst(6) }
        #expect(pushes == pops.reversed())
        #expect(Set(pushes) == ["rax", "rdi", "rsi", "rdx", "rcx", "r8", "r9", "r10", "r11"])
        // The caller's call pushed 8 bytes on an aligned stack.
        #expect((8 + pushes.count * 8 + 128) % 16 == 0)
        for number in 0..<8 {
            #expect(lines.count { $0.contains("xmm\(number)") } == 2)
        }
    }

    @Test(arguments: [
        EntryContract(preserve: [], alignStack: true),
        EntryContract(preserve: [.rdi, .r10, .xmm3], alignStack: true),
        EntryContract(preserve: KeptRegister.allCases, alignStack: true),
    ])
    func thunkSavesAndRestoresTheSameSlots(_ contract: EntryContract) throws {
        let target = RemoteAddress(rawValue: 0x7f00_0000_9000)
        let code = try #require(EntryThunk.code(for: contract, at: place, calling: target))
        let lines = try text(code, at: place)
        let call = try #require(lines.firstIndex { $0.hasPrefix("callq ") })
        #expect(lines[call] == "callq 0x7f0000009000")
        func moves(_ lines: ArraySlice<String>) -> [String: String] {
            var slots: [String: String] = [:]
            for line in lines where line.contains("(%rsp)") {
                let operands = line.split(separator: " ", maxSplits: 1)[1].split(separator: ", ")
                let memory = operands.first { $0.contains("(%rsp)") } ?? ""
                let register = operands.first { !$0.contains("(%rsp)") } ?? ""
                slots[String(register.dropFirst())] = String(memory)
            }
            return slots
        }
        let saved = moves(lines[..<call])
        #expect(saved == moves(lines[call...]))
        #expect(Set(saved.values).count == saved.count)
        let wanted = contract.preserve.filter { $0 != .flags }.map(\.rawValue)
        #expect(Set(saved.keys) == Set(wanted))
        #expect(lines.contains("pushfq") == contract.preserve.contains(.flags))
        #expect(lines.contains("popfq") == contract.preserve.contains(.flags))
        #expect(lines.contains("andq $0xfffffffffffffff0, %rsp"))
        #expect(lines.last == "retq")
    }

    /// What the unwind table says of a thunk, held against its code.
    @Test(arguments: [
        EntryContract(preserve: [.rdi], alignStack: true),
        EntryContract(preserve: [.flags], alignStack: false),
    ])
    func thunkHasItsFrameWhereItsTableSaysSo(_ contract: EntryContract) throws {
        let code = try #require(EntryThunk.code(for: contract, at: place, calling: place))
        #expect(EntryThunk.length(for: contract) == UInt64(code.count))
        let head = try text(Array(code[..<Int(EntryThunk.frameEnd)]), at: place)
        #expect(head == ["endbr64", "pushq %rbp", "movq %rsp, %rbp"])
        #expect(code[Int(EntryThunk.pushEnd)...].starts(with: [0x48, 0x89, 0xe5]))
        let tail = try text(code, at: place).suffix(2)
        #expect(tail.first == (contract.preserve == [.flags] ? "popq %rbp" : "leave"))
        #expect(tail.last == "retq")
    }

    @Test func framesOfThunksFillTheirRoom() throws {
        let near = try #require(AddressRange(start: place, count: 64))
        let far = try #require(AddressRange(start: RemoteAddress(rawValue: 0x1000), count: 64))
        for count in 0..<4 {
            let codes =
                Array(repeating: ThunkFrames.Code.thunk(near), count: count)
                + Array(repeating: ThunkFrames.Code.gate(near), count: 3 - count)
            let table = try #require(ThunkFrames.table(for: codes, at: place))
            #expect(UInt64(table.count) == ThunkFrames.size(thunks: count, gates: 3 - count))
            #expect(table.count % 8 == 0)
        }
        #expect(ThunkFrames.table(for: [], at: place)?.count == 0)
        #expect(ThunkFrames.size(thunks: 0, gates: 0) == 0)
        #expect(ThunkFrames.table(for: [.thunk(near), .gate(far)], at: place) == nil)
    }

    /// What the unwind table says of a gate, and of what it calls, held against their code.
    @Test func whatRunsOnceHasItsFramesWhereItsTableSaysSo() throws {
        let word = RemoteAddress(rawValue: 0x7f00_0000_3000)
        let routine = RemoteAddress(rawValue: 0x7f00_0000_2000)
        let gate = try #require(
            Gate.code(at: place, word: word, routine: routine, replacement: routine))
        #expect(UInt64(gate.count) == Gate.length)
        let lines = try text(gate, at: place)
        #expect(
            lines.map { $0.prefix { $0 != " " } }
                == ["endbr64", "pushq", "movq", "jrcxz", "callq", "popq", "jmp"])
        #expect(gate[Int(Gate.pushEnd) - 1] == 0x51 && gate[Int(Gate.popEnd) - 1] == 0x59)

        let code = OnceRoutine.code(table: place, block: word)
        #expect(UInt64(code.count) == OnceRoutine.length)
        let body = try text(Array(code[Int(OnceRoutine.entry)...]), at: routine)
        #expect(body.prefix(3) == ["endbr64", "pushq %rbp", "movq %rsp, %rbp"])
        #expect(body.suffix(2) == ["popq %rbp", "retq"])
    }

    @Test func codeOutOfReachIsNil() {
        let far = RemoteAddress(rawValue: 0x1000)
        #expect(CallStub.direct(at: place, through: far) == nil)
        let contract = EntryContract(preserve: [.rdi], alignStack: false)
        #expect(EntryThunk.code(for: contract, at: place, calling: far) == nil)
    }
}
