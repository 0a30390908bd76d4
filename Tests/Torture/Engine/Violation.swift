/// Something that must never happen and did.
public struct Violation: Error, CustomStringConvertible {
    public enum Kind: String, CaseIterable, Sendable {
        /// The victim ended.
        case death
        /// A thread stood still.
        case hang
        /// Arithmetic came out wrong.
        case sum = "corrupted sum"
        /// A function saw two versions of others, or a set was switched in part.
        case mix
        /// Something was left behind, or something is not what it should be after
        /// everything was put right.
        case leftover
        /// A blocking call returned EINTR though no run was killed, or one that a
        /// stop cannot interrupt.
        case interruption = "needless EINTR"
        case other
    }

    public let kind: Kind
    public let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
