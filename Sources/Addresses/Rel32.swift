/// The signed 32-bit displacement of a near jump, call or rip-relative operand,
/// counted from the end of the instruction (Intel SDM vol. 2, "JMP rel32").
public struct Rel32: Hashable, Sendable {
    public let displacement: Int32

    /// nil where `target` is out of reach: not within ±2 GiB of `end`, the
    /// address behind the instruction.
    public init?<Space: AddressSpace>(fromEnd end: Space, to target: Space) {
        // Addresses are canonical, so the wrapped difference is the true one.
        let difference = Int64(bitPattern: target.rawValue &- end.rawValue)
        guard let exact = Int32(exactly: difference) else { return nil }
        displacement = exact
    }

    /// The displacement of an instruction of `length` bytes at `address`.
    public init?<Space: AddressSpace>(from address: Space, length: UInt64, to target: Space) {
        guard let end = address.advanced(by: length) else { return nil }
        self.init(fromEnd: end, to: target)
    }

    /// The four bytes as they stand in the instruction, least significant first.
    public var bytes: [UInt8] {
        let pattern = UInt32(bitPattern: displacement)
        return [0, 8, 16, 24].map { UInt8(truncatingIfNeeded: pattern >> $0) }
    }
}
