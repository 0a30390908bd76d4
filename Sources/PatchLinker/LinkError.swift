import Addresses
import ELFImage
import Patchability

/// Why a patch cannot be linked into a process. Nothing was changed.
public enum LinkError: Error, Sendable {
    /// The patch's object cannot be read.
    case object(ELFError)
    /// A section wants more than a page's alignment.
    case alignment(section: String, alignment: UInt64)
    /// The manifest or the object names a symbol that was bound to nothing.
    case unbound(symbol: String)
    /// No library of the process defines it (any more).
    case unresolved(symbol: String, version: String?, library: String?)
    /// The displacement from `place` to `target` does not fit its field.
    case outOfRange(relocation: String, symbol: String, place: RemoteAddress, target: RemoteAddress)
    /// A stub of the payload does not reach the payload's own data.
    case outOfReach(stub: RemoteAddress, word: RemoteAddress)
    /// A relocation that does not suit the kind of its symbol.
    case unsuitable(relocation: String, symbol: String, reason: String)
    /// The patch calls an original whose first instructions cannot run elsewhere.
    case originalCannotMove(symbol: String, MoveRefusal)
    /// The same where something that they name is too far from the payload.
    case originalOutOfReach(symbol: String, payload: RemoteAddress)
    /// No room of that many bytes within 2 GiB of the object.
    case noRoom(bytes: UInt64, object: AddressRange<RemoteAddress>)

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .object(let error): error.code
        case .alignment: "link.alignment"
        case .unbound: "link.unbound"
        case .unresolved: "link.unresolved"
        case .outOfRange: "link.out-of-range"
        case .outOfReach: "link.out-of-reach"
        case .unsuitable: "link.unsuitable"
        case .originalCannotMove: "link.original-cannot-move"
        case .originalOutOfReach: "link.original-out-of-reach"
        case .noRoom: "link.no-room"
        }
    }
}

extension LinkError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .object(let error):
            return "cannot read the patch's code: \(error)"
        case .alignment(let section, let alignment):
            return "cannot place the patch's section '\(section)': it wants an alignment of "
                + "\(alignment) bytes, more than a page"
        case .unbound(let symbol):
            return "the patch refers to '\(symbol)' without saying what it is; build it again"
        case .unresolved(let symbol, let version, let library):
            let wanted = version.map { "\(symbol)@\($0)" } ?? symbol
            let place = library.map { " (it was in \($0) when the patch was built)" } ?? ""
            return "no object of the process defines '\(wanted)'\(place); "
                + "build the patch against the libraries that the process runs"
        case .outOfRange(let relocation, let symbol, let place, let target):
            return "\(relocation) against '\(symbol)' is out of range: \(target) is more than "
                + "2 GiB from \(place); declare the symbol without visibility attributes, so "
                + "that the compiler goes through the global offset table"
        case .outOfReach(let stub, let word):
            return "the patch is larger than jumps reach: its call stub at \(stub) does not reach "
                + "its word at \(word)"
        case .unsuitable(let relocation, let symbol, let reason):
            return "\(relocation) against '\(symbol)' cannot be linked: \(reason)"
        case .originalCannotMove(let symbol, let refusal):
            return "the patch calls the original of '\(symbol)', which cannot be called when it is "
                + "replaced: \(refusal); build the patch again"
        case .originalOutOfReach(let symbol, let payload):
            return "the patch calls the original of '\(symbol)', whose first instructions name "
                + "something that is more than 2 GiB from the payload at \(payload)"
        case .noRoom(let bytes, let object):
            return "no \(bytes) free bytes within 2 GiB of the object at \(object)"
        }
    }
}
