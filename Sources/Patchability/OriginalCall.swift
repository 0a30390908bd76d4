import Addresses

/// Whether a function can still be called when a detour stands at its entry: its
/// first instructions are moved elsewhere, and the rest runs where it is. That
/// goes well where nothing in the rest leads back to the entry, since there it
/// would run into the detour, in the middle of the function.
public enum OriginalCall: Hashable, Sendable {
    case callable
    case refused(OriginalRefusal)

    public var refusal: OriginalRefusal? {
        if case .refused(let refusal) = self { refusal } else { nil }
    }
}

/// Why a function that is replaced cannot be called any more, with the evidence.
public enum OriginalRefusal: Error, Hashable, Sendable {
    /// No detour fits, so that it cannot be replaced either.
    case unpatchable(Refusal)
    /// The instructions under the detour cannot run elsewhere.
    case cannotMove(MoveRefusal)
    /// A jump of the function, or of a part of it, leads back to its entry.
    case jumpsToEntry(from: Place, target: LinkAddress)
    /// An entry of a jump table does.
    case tableToEntry(table: LinkAddress, entry: Int, usedBy: Place, target: LinkAddress)
    /// A list of places in the function, which it may jump to, holds its entry.
    case labelsEntry(at: LinkAddress, target: LinkAddress)
    /// The function takes the address of its entry and jumps to computed places.
    case takesEntry(by: Place, target: LinkAddress)
    /// It cannot be told where the jump leads.
    case unresolvedJump(at: Place)
    /// No instruction is known to start there.
    case undecodable(at: LinkAddress)
    /// A jump leads to bytes that belong to no function.
    case leavesFunctions(from: Place, target: LinkAddress)
    /// It is spread over more than `limit` functions.
    case tooManyParts(limit: Int)

    /// A stable word.
    public var code: String {
        switch self {
        case .unpatchable(let refusal): refusal.code.rawValue
        case .cannotMove: "cannot-move"
        case .jumpsToEntry: "jumps-to-entry"
        case .tableToEntry: "table-to-entry"
        case .labelsEntry: "labels-entry"
        case .takesEntry: "takes-entry"
        case .unresolvedJump: "unresolved-jump"
        case .undecodable: "undecodable-body"
        case .leavesFunctions: "leaves-functions"
        case .tooManyParts: "too-many-parts"
        }
    }
}

extension OriginalRefusal: CustomStringConvertible {
    /// One clause without the function's name and without a full stop.
    public var description: String {
        switch self {
        case .unpatchable(let refusal):
            return refusal.description
        case .cannotMove(let refusal):
            return "its first instructions cannot run elsewhere: \(refusal)"
        case .jumpsToEntry(let place, let target):
            return "\(place) jumps back to \(target), where the detour would stand"
        case .tableToEntry(let table, let entry, let user, let target):
            return "entry \(entry) of the jump table at \(table), which \(user) uses, leads back "
                + "to \(target), where the detour would stand"
        case .labelsEntry(let address, let target):
            return "the list of labels at \(address) holds \(target), where the detour would stand"
        case .takesEntry(let place, let target):
            return "\(place) takes the address \(target), where the detour would stand, and the "
                + "function jumps to computed places"
        case .unresolvedJump(let place):
            return "it cannot be told where the jump at \(place) leads"
        case .undecodable(let address):
            return "no known instruction at \(address)"
        case .leavesFunctions(let place, let target):
            return "\(place) jumps to \(target), which belongs to no known function"
        case .tooManyParts(let limit):
            return "its jumps lead through more than \(limit) functions"
        }
    }
}
