/// Why a function's first instructions cannot run at another place. Offsets
/// count from the first of them.
public enum MoveRefusal: Error, Hashable, Sendable {
    /// There are fewer bytes than are to be moved, and control goes on behind
    /// them.
    case ends(available: Int)
    /// No instruction is known to start there, or not enough is known of it.
    case undecodable(offset: Int, bytes: [UInt8])
    /// int3 or int1: whoever waits for it knows it by its address.
    case breakpoint(offset: Int)
    /// A call that is made for the sake of its return address.
    case takesReturnAddress(offset: Int)
    /// A branch that some processors cut to 16 bits.
    case narrowBranch(offset: Int, bytes: [UInt8])
    /// A short branch with so many prefixes that its long form is no instruction.
    case overlong(offset: Int, bytes: [UInt8])
    /// An operand's address that is cut to 32 bits.
    case narrowAddress(offset: Int, bytes: [UInt8])
    /// A branch to the middle of an instruction that is moved as well.
    case leadsIntoInstruction(offset: Int, target: Int)
    case decoderUnavailable

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .ends: "move.ends"
        case .undecodable: "move.undecodable"
        case .breakpoint: "move.breakpoint"
        case .takesReturnAddress: "move.takes-return-address"
        case .narrowBranch: "move.narrow-branch"
        case .overlong: "move.overlong"
        case .narrowAddress: "move.narrow-address"
        case .leadsIntoInstruction: "move.leads-into-instruction"
        case .decoderUnavailable: "move.decoder"
        }
    }
}

extension MoveRefusal: CustomStringConvertible {
    /// One clause without the function's name and without a full stop.
    public var description: String {
        switch self {
        case .ends(let available):
            return "only \(available) bytes follow its entry"
        case .undecodable(let offset, let bytes):
            return "the instruction at byte \(offset) of its entry is not known: "
                + Self.listing(bytes)
        case .breakpoint(let offset):
            return "a breakpoint instruction stands at byte \(offset) of its entry"
        case .takesReturnAddress(let offset):
            return "the call at byte \(offset) of its entry is made for its return address, which "
                + "would be another elsewhere"
        case .narrowBranch(let offset, let bytes):
            return "the branch at byte \(offset) of its entry has an operand size prefix, which "
                + "processors take differently: \(Self.listing(bytes))"
        case .overlong(let offset, let bytes):
            return "the short branch at byte \(offset) of its entry has too many prefixes for a "
                + "long one: \(Self.listing(bytes))"
        case .narrowAddress(let offset, let bytes):
            return "the instruction at byte \(offset) of its entry cuts an address to 32 bits: "
                + Self.listing(bytes)
        case .leadsIntoInstruction(let offset, let target):
            return "the branch at byte \(offset) of its entry leads to byte \(target), into the "
                + "middle of an instruction"
        case .decoderUnavailable:
            return "no decoder for x86-64 can be opened: out of memory, or libcapstone was built "
                + "without x86"
        }
    }

    private static func listing(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    }
}
