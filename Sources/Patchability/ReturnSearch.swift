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
    /// jump leads, and where bytes are no known instructions.
    public var neverReturns: Bool {
        guard let entry = parts.first, !entry.bytes.isEmpty else { return false }
        var open: [UInt64] = [entry.start]
        var seen: Set<UInt64> = []
        while let start = open.popLast() {
            var address: UInt64? = start
            while let position = address, seen.insert(position).inserted {
                switch step(at: position) {
                case .leaves: return false
                case .ends: address = nil
                case .goesOn(let next, let branch):
                    if let branch { open.append(branch) }
                    address = next
                }
            }
        }
        return true
    }

    private enum Step {
        /// It returns, goes elsewhere, or where it goes cannot be told.
        case leaves
        /// Nothing of the function comes after it.
        case ends
        case goesOn(next: UInt64?, branch: UInt64?)
    }

    private func step(at address: UInt64) -> Step {
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
