import Addresses
import CDecoder
import Patchability

/// Finds out whether a function uses what its caller put on the stack: arguments
/// that did not fit into registers (psABI, section 3.2.3).
///
/// Registers that hold the entry's stack pointer plus a known number are followed
/// through all paths. An access at or above the return address's end is one to
/// the caller's frame. Where the stack pointer is not known any more (after
/// alloca, or an alignment), a frame pointer has to be: the compiler cannot know
/// the way to the arguments otherwise. Whatever cannot be told counts as a use.
struct StackArguments {
    /// Registers whose value is the stack pointer at the entry plus a number.
    private typealias State = [Register: Int64]

    /// Above the return address; the stack pointer at the entry points to that.
    private static let firstArgument: Int64 = 8

    private let instructions: [LinkAddress: Instruction<LinkAddress>]
    private let order: [LinkAddress]
    private let isComplete: Bool
    private var states: [LinkAddress: State] = [:]
    private var found = false

    /// Whether `function` may use arguments on the stack.
    static func areUsed(
        by function: CodeFunction, in space: some CodeSpace, decoder: FunctionDecoder
    ) -> Bool {
        var analysis = StackArguments(decoder.instructions(of: function, in: space))
        return analysis.run(from: function.entry)
    }

    private init(_ placed: [PlacedInstruction?]) {
        isComplete = !placed.contains { $0 == nil }
        let known = placed.compactMap { $0?.instruction }
        order = known.map(\.address)
        instructions = Dictionary(known.map { ($0.address, $0) }, uniquingKeysWith: { a, _ in a })
    }

    private mutating func run(from entry: LinkAddress?) -> Bool {
        guard isComplete, let entry else { return true }
        var queue: [LinkAddress] = []
        merge([.rsp: 0], into: entry, &queue)
        follow(&queue)
        // What is left is reached through jump tables only: from any of the
        // indirect jumps.
        let jumps = order.filter { instructions[$0].map(Self.isIndirectJump) ?? false }
            .compactMap { states[$0] }
        if let first = jumps.first {
            let common = jumps.dropFirst().reduce(first) { Self.common($0, $1) }
            for address in order where states[address] == nil {
                merge(common, into: address, &queue)
                follow(&queue)
            }
        }
        return found
    }

    private mutating func follow(_ queue: inout [LinkAddress]) {
        while let address = queue.popLast(), !found {
            guard let instruction = instructions[address], let state = states[address] else {
                continue
            }
            found = found || Self.reachesCallersFrame(instruction, state)
            let after = Self.state(after: instruction, state)
            switch instruction.flow {
            case .return, .stop: break
            case .jump:
                if let target = instruction.target { merge(after, into: target, &queue) }
            case .conditionalJump:
                if let target = instruction.target { merge(after, into: target, &queue) }
                let through = Self.stateAfterProbeLoop(
                    instruction, after, before: previous(address))
                merge(through, into: instruction.end, &queue)
            default: merge(after, into: instruction.end, &queue)
            }
        }
    }

    private func previous(_ address: LinkAddress) -> Instruction<LinkAddress>? {
        order.firstIndex(of: address).flatMap { $0 > 0 ? instructions[order[$0 - 1]] : nil }
    }

    /// Takes over what holds on all paths that lead to `address`.
    private mutating func merge(
        _ state: State, into address: LinkAddress, _ queue: inout [LinkAddress]
    ) {
        guard instructions[address] != nil else { return }
        let merged = states[address].map { Self.common($0, state) } ?? state
        if merged != states[address] {
            states[address] = merged
            queue.append(address)
        }
    }

    private static func common(_ left: State, _ right: State) -> State {
        left.filter { right[$0.key] == $0.value }
    }

    private static func isIndirectJump(_ instruction: Instruction<LinkAddress>) -> Bool {
        instruction.flow == .jump && instruction.target == nil
    }
}

// MARK: - One instruction

extension StackArguments {
    private static func reachesCallersFrame(
        _ instruction: Instruction<LinkAddress>, _ state: State
    ) -> Bool {
        guard instruction.opcode != .nop else { return false }
        for case .memory(let memory) in instruction.operands {
            guard !memory.hasSegment, let base = memory.base else { continue }
            if let offset = state[base] {
                let (start, overflow) = offset.addingReportingOverflow(memory.displacement)
                // The address alone, of lea, is one byte of it.
                let size = instruction.opcode == .lea ? 1 : Int64(max(1, memory.bytes))
                let restoresStack =
                    instruction.opcode == .lea && instruction.writes.contains(RegisterSet(.rsp))
                if overflow || start &+ size > firstArgument, !restoresStack { return true }
            } else if base == .rsp, state[.rbp] == nil,
                memory.displacement > 0 || memory.index != nil || memory.bytes > 8
            {
                // (%rsp) itself is never above the return address.
                return true
            }
        }
        return false
    }

    private static func state(after instruction: Instruction<LinkAddress>, _ before: State) -> State
    {
        var state = before
        let stack = before[.rsp]
        // Calls come back with the stack as it was; what they change of the other
        // registers is the caller-saved ones.
        if instruction.flow == .call {
            return before.filter { !RegisterSet.callerSaved.contains(RegisterSet($0.key)) }
        }
        for register in instruction.writes.registers where register.number < 16 {
            state[register] = nil
        }
        let operands = instruction.operands
        if instruction.is(X86_INS_PUSH) || instruction.is(X86_INS_PUSHFQ) {
            state[.rsp] = stack.map { $0 - 8 }
        } else if instruction.is(X86_INS_POP) || instruction.is(X86_INS_POPFQ) {
            state[.rsp] = stack.map { $0 + 8 }
        } else if instruction.is(X86_INS_LEAVE) {
            state[.rsp] = before[.rbp].map { $0 + 8 }
        } else if case .register(let target, 8)? = operands.first, operands.count == 2 {
            state[target] = value(instruction, target, operands[1], before)
        }
        return state
    }

    /// What a register holds that is computed from another by adding a number.
    private static func value(
        _ instruction: Instruction<LinkAddress>, _ target: Register, _ source: Operand,
        _ before: State
    ) -> Int64? {
        switch source {
        case .immediate(let number) where instruction.is(X86_INS_ADD):
            return before[target]?.checked(plus: number)
        case .immediate(let number) where instruction.is(X86_INS_SUB):
            return before[target]?.checked(plus: 0 &- number)
        // The stack probes of -fstack-clash-protection: `or $0, (%rsp)` has no
        // register; `and $-32, %rsp` makes it unknown.
        case .register(let from, 8) where instruction.is(X86_INS_MOV):
            return before[from]
        case .memory(let memory) where instruction.opcode == .lea && memory.index == nil:
            return memory.base.flatMap { before[$0]?.checked(plus: memory.displacement) }
        default:
            // Comparisons and the like have a register as their first operand and
            // leave it alone.
            return instruction.writes.contains(RegisterSet(target)) ? nil : before[target]
        }
    }

    /// -fstack-clash-protection touches the pages of a large frame in a loop that
    /// ends when the stack pointer has reached another register's value:
    /// `cmp %r11, %rsp; jne`.
    private static func stateAfterProbeLoop(
        _ jump: Instruction<LinkAddress>, _ state: State, before: Instruction<LinkAddress>?
    ) -> State {
        guard jump.is(X86_INS_JNE), let compare = before, compare.is(X86_INS_CMP),
            compare.operands.count == 2,
            case .register(.rsp, 8) = compare.operands[0],
            case .register(let limit, 8) = compare.operands[1], let value = state[limit]
        else { return state }
        var known = state
        known[.rsp] = value
        return known
    }
}

extension Int64 {
    /// nil where a hostile number would overflow.
    fileprivate func checked(plus other: Int64) -> Int64? {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? nil : sum
    }
}
