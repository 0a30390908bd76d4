import Addresses
import CDecoder
import ELFImage

/// The code of one function with all its parts, and whether it can come to an end.
public struct FunctionCode {
    /// A part and its bytes: the function itself, or a fragment of it.
    public struct Part {
        let start: UInt64
        let bytes: ByteView

        public init(start: LinkAddress, bytes: ByteView) {
            self.start = start.rawValue
            self.bytes = bytes
        }
    }

    private let parts: [Part]

    /// - Parameter parts: the function first, then its fragments.
    public init(_ parts: [Part]) { self.parts = parts }

    /// Whether no path from the entry leads to a return or out of the function, as
    /// in a main loop: a thread that is inside stays there. By exceptions,
    /// longjmp(3) and its own end a thread can still leave.
    ///
    /// False where it cannot be told: where a register or the memory says where a
    /// jump leads, other than by a jump table, and where bytes are no known
    /// instructions.
    public func neverReturns(_ decoder: borrowing Decoder) -> Bool {
        guard let entry = parts.first, !entry.bytes.isEmpty else { return false }
        var open: [UInt64] = [entry.start]
        var tables = 0
        var seen: Set<UInt64> = []
        while let start = open.popLast() {
            var address: UInt64? = start
            while let position = address, seen.insert(position).inserted {
                switch step(at: position, decoder) {
                case .leaves: return false
                case .ends: address = nil
                case .goesAnywhere:
                    if tables == 0 { open += parts.flatMap(\.instructions) }
                    tables += 1
                    guard tables <= Self.mostTables else { return false }
                    address = nil
                case .goesOn(let next, let branch):
                    if let branch { open.append(branch) }
                    address = next
                }
            }
        }
        return true
    }

    /// Each is found by a walk through the function, whose bytes may be a stranger's.
    private static let mostTables = 64

    private enum Step {
        /// It returns, goes elsewhere, or where it goes cannot be told.
        case leaves
        /// Nothing of the function comes after it.
        case ends
        case goesOn(next: UInt64?, branch: UInt64?)
        /// A table says where; to any place of the function, for all that is known.
        case goesAnywhere
    }

    private func step(at address: UInt64, _ decoder: borrowing Decoder) -> Step {
        guard let part = parts.first(where: { $0.contains(address) }),
            let shape = part.bytes.shape(at: Int(address - part.start))
        else { return .leaves }
        let next = address &+ UInt64(shape.length)
        switch Flow(rawValue: shape.flow) ?? .next {
        case .return: return .leaves
        case .stop: return .ends
        case .call:
            // What stands last was compiled to be never returned to.
            return isInside(next) ? .goesOn(next: next, branch: nil) : .ends
        case .jump, .conditionalJump:
            guard shape.relative_size > 0 else {
                return part.isTableJump(at: address, decoder) ? .goesAnywhere : .leaves
            }
            guard let target = part.target(of: shape, at: address), isInside(target) else {
                return .leaves
            }
            let isConditional = shape.flow == UInt8(CDECODER_CONDITIONAL_JUMP.rawValue)
            return .goesOn(next: isConditional ? next : nil, branch: target)
        case .next, .interrupt: return .goesOn(next: next, branch: nil)
        }
    }

    private func isInside(_ address: UInt64) -> Bool {
        parts.contains { $0.contains(address) }
    }
}

extension FunctionCode.Part {
    fileprivate func contains(_ address: UInt64) -> Bool {
        address >= start && address - start < UInt64(bytes.count)
    }

    /// Where instructions start, one after the other.
    fileprivate var instructions: [UInt64] {
        var starts: [UInt64] = []
        var offset = 0
        while let shape = bytes.shape(at: offset) {
            starts.append(start &+ UInt64(offset))
            offset += Int(shape.length)
        }
        return starts
    }

    /// Whether the jump at `address` goes by a table, as compilers make one of a
    /// `switch` in code that can lie anywhere:
    ///
    ///     movslq (%table,%index,4),%place
    ///     add    %table,%place
    ///     jmp    *%place
    fileprivate func isTableJump(at address: UInt64, _ decoder: borrowing Decoder) -> Bool {
        // Which registers hold an entry of a table, and an entry with the table's
        // address added.
        var entry: Register?
        var place: Register?
        for position in instructions.prefix(while: { $0 <= address }).suffix(16) {
            guard
                let instruction = decoder.decode(
                    bytes, at: Int(position - start), address: LinkAddress(rawValue: position))
            else { return false }
            let operands = instruction.operands
            if position == address {
                guard case .register(let target, _)? = operands.first else { return false }
                return target == place
            }
            switch (instruction.opcode, operands.first, operands.last) {
            case (.movsxd, .register(let register, 8)?, .memory(let memory)?)
            where memory.base != nil && memory.index != nil && memory.scale == 4:
                (entry, place) = (register, nil)
            case (.add, .register(let sum, 8)?, .register(let other, 8)?)
            where sum == entry || other == entry:
                (entry, place) = (nil, sum)
            default:
                if let held = entry, instruction.writes.contains(RegisterSet(held)) { entry = nil }
                if let held = place, instruction.writes.contains(RegisterSet(held)) { place = nil }
                if instruction.flow != .next { (entry, place) = (nil, nil) }
            }
        }
        return false
    }

    /// Where a direct branch leads: its displacement ends it, and counts from
    /// behind it (SDM vol. 2, "Jcc"). nil for any other.
    fileprivate func target(of shape: cdecoder_shape, at address: UInt64) -> UInt64? {
        let end = Int(address - start) + Int(shape.length)
        let displacement: Int64
        switch shape.relative_size {
        case 1:
            guard let value = bytes.load(end - 1, as: Int8.self) else { return nil }
            displacement = Int64(value)
        case 4:
            guard let value = bytes.load(end - 4, as: Int32.self) else { return nil }
            displacement = Int64(value)
        default: return nil
        }
        return address &+ UInt64(shape.length) &+ UInt64(bitPattern: displacement)
    }
}
