/// A half-open range of addresses of one space: `start ..< end`.
public struct AddressRange<Space: AddressSpace>: Hashable, Sendable, CustomStringConvertible {
    public let start: Space
    /// The first address behind the range.
    public let end: Space

    /// nil where `end` lies before `start`.
    public init?(start: Space, end: Space) {
        guard start <= end else { return nil }
        self.start = start
        self.end = end
    }

    /// nil where the range would pass the end of the 64-bit space.
    public init?(start: Space, count: UInt64) {
        guard let end = start.advanced(by: count) else { return nil }
        self.start = start
        self.end = end
    }

    /// No bytes, at `address`.
    public init(emptyAt address: Space) {
        start = address
        end = address
    }

    /// The number of bytes.
    public var count: UInt64 { end.rawValue - start.rawValue }
    public var isEmpty: Bool { start == end }

    public func contains(_ address: Space) -> Bool { start <= address && address < end }
    public func contains(_ other: Self) -> Bool { start <= other.start && other.end <= end }
    public func overlaps(_ other: Self) -> Bool { start < other.end && other.start < end }

    public var description: String { "\(start)-\(end)" }
}
