import Addresses
import CDecoder
import Patchability

/// What a function, with all that it calls, does to the registers of its caller.
struct CodeEffects: Equatable {
    enum Bound {
        /// Only what happens for certain, as far as the code can be followed.
        case atLeast
        /// Whatever may happen.
        case atMost
    }

    /// How many functions are followed. Beyond that the answer is the safe one of
    /// the bound.
    private static let longestSearch = 5_000

    /// Caller-saved registers that it changes.
    private(set) var changes: RegisterSet = []
    /// Vector registers of which it changes what lies above 128 bits.
    private(set) var changesUpperHalves: RegisterSet = []
    /// Whether it relies on a stack that is aligned to 16 bytes.
    private(set) var needsAlignedStack = false

    /// Follows `function` through its calls and jumps.
    init(
        of function: CodeFunction, in space: some CodeSpace, bound: Bound, decoder: FunctionDecoder
    ) {
        var seen: Set<CodeFunction> = [function]
        // Whether a function is entered with the alignment that the first one was
        // entered with.
        var queue: [(function: CodeFunction, hasCallersAlignment: Bool)] = [(function, true)]
        while let next = queue.popLast(), !isSettled {
            guard seen.count <= Self.longestSearch else {
                if bound == .atMost {
                    changeEverything()
                    needsAlignedStack = true
                }
                break
            }
            let body = FunctionBody(
                next.function, decoder.instructions(of: next.function, in: space), space)
            add(body, bound, hasCallersAlignment: next.hasCallersAlignment)
            let alignment = next.hasCallersAlignment && !body.alignsStack
            for callee in body.callees where seen.insert(callee).inserted {
                queue.append((callee, alignment))
            }
        }
        changes.formIntersection(.callerSaved)
    }

    private mutating func add(_ body: FunctionBody, _ bound: Bound, hasCallersAlignment: Bool) {
        switch bound {
        case .atLeast:
            changes.formUnion(body.certainWrites)
            changesUpperHalves.formUnion(body.certainWrites.intersection(.vectors))
            if body.callsForeign { changeEverything() }
            // The compiler aligned the stack for a callee that it did not know.
            if body.callsForeign, hasCallersAlignment, !body.alignsStack {
                needsAlignedStack = true
            }
        case .atMost:
            changes.formUnion(body.possibleWrites)
            changesUpperHalves.formUnion(body.possibleUpperWrites)
            if body.callsForeign || body.callsUnknown || body.jumpsUnknown || !body.isComplete {
                changeEverything()
                needsAlignedStack = true
            }
            if body.usesVectorMemory { needsAlignedStack = true }
        }
    }

    /// Whether nothing that is found later can add to the answer.
    private var isSettled: Bool {
        changes.isSuperset(of: .callerSaved) && changesUpperHalves == .vectors
            && needsAlignedStack
    }

    private mutating func changeEverything() {
        changes.formUnion(.callerSaved)
        changesUpperHalves.formUnion(.vectors)
    }
}

/// What the instructions of one function, without its callees, say.
private struct FunctionBody {
    /// The functions of the same code space that it calls or jumps to.
    private(set) var callees: [CodeFunction] = []
    private(set) var certainWrites: RegisterSet = []
    private(set) var possibleWrites: RegisterSet = []
    private(set) var possibleUpperWrites: RegisterSet = []
    /// Whether it calls, or ends in, a function of another object, or one that
    /// only a pointer tells: the compiler knew nothing of it either.
    private(set) var callsForeign = false
    /// Whether it calls code of which there is no knowing what it is.
    private(set) var callsUnknown = false
    /// Whether it has an indirect jump: through a table, or to another function.
    private(set) var jumpsUnknown = false
    /// Whether all its bytes are known instructions.
    private(set) var isComplete = true
    /// Whether it aligns its own stack (`and $-32, %rsp`).
    private(set) var alignsStack = false
    /// Whether it reads or writes 16 bytes of memory at once.
    private(set) var usesVectorMemory = false

    private let function: CodeFunction

    init(_ function: CodeFunction, _ instructions: [PlacedInstruction?], _ space: some CodeSpace) {
        self.function = function
        for place in instructions {
            guard let place else {
                isComplete = false
                continue
            }
            takeRegisters(of: place)
            takeFlow(of: place.instruction, space)
        }
    }

    private mutating func takeRegisters(of place: PlacedInstruction) {
        let instruction = place.instruction
        possibleWrites.formUnion(instruction.writes)
        let vectors = instruction.writes.intersection(.vectors)
        if place.isVectorExtended || instruction.usesWideVectors {
            possibleUpperWrites.formUnion(vectors)
        }
        certainWrites.formUnion(instruction.certainWrites)
        if instruction.is(X86_INS_AND), instruction.writes.contains(RegisterSet(.rsp)) {
            alignsStack = true
        }
        for case .memory(let memory) in instruction.operands
        where memory.bytes >= 16 && instruction.opcode != .nop && instruction.opcode != .lea {
            usesVectorMemory = true
        }
    }

    private mutating func takeFlow(
        of instruction: Instruction<LinkAddress>, _ space: some CodeSpace
    ) {
        switch instruction.flow {
        case .call, .jump, .conditionalJump:
            guard let target = instruction.target else {
                if instruction.flow == .call { callsForeign = true } else { jumpsUnknown = true }
                return
            }
            // A jump inside of the function, or `call` to the next instruction.
            if function.contains(target), instruction.flow != .call || target != function.entry {
                return
            }
            switch space.target(at: target) {
            case .function(let callee): callees.append(callee)
            case .foreign: callsForeign = true
            case .unknown: callsUnknown = true
            }
        default: return
        }
    }
}

extension Instruction {
    /// Whether it is the operation of that number of Capstone's.
    func `is`(_ operation: x86_insn) -> Bool { opcode.rawValue == UInt16(operation.rawValue) }

    /// What it writes without any doubt. Capstone does not know of every operand
    /// whether it is written, but the first is the destination; and instructions
    /// that touch many registers at once, or that it does not know, are not
    /// counted.
    fileprivate var certainWrites: RegisterSet {
        let unclear: [x86_insn] = [
            X86_INS_VZEROUPPER, X86_INS_VZEROALL, X86_INS_FXRSTOR, X86_INS_FXRSTOR64,
            X86_INS_XRSTOR, X86_INS_XRSTOR64,
        ]
        guard opcode != .unknown, !unclear.contains(where: { self.is($0) }) else { return [] }
        var set = writes
        for (index, operand) in operands.enumerated().reversed() {
            guard case .register(let register, _) = operand else { continue }
            if index > 0 {
                set.remove(RegisterSet(register))
            } else if raw.operands.0.written {
                set.insert(RegisterSet(register))
            }
        }
        return set
    }
}
