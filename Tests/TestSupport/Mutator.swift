/// Makes broken inputs out of good ones, the same ones for the same seed.
public struct Mutator {
    private var state: UInt64

    public init(seed: UInt64) {
        // The generator stays at zero for ever.
        state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    }

    /// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift
    /// generators, scrambled").
    public mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }

    public mutating func next(below limit: Int) -> Int {
        limit > 0 ? Int(next() % UInt64(limit)) : 0
    }

    /// `good` with some bytes changed, mostly in the places named (headers and
    /// tables, where a byte changes the meaning of many), and now and then cut
    /// short.
    public mutating func mutated(_ good: [UInt8], places: [Range<Int>] = []) -> [UInt8] {
        var bytes = good
        for _ in 0...next(below: 6) { change(&bytes, places) }
        if next(below: 8) == 0 { bytes = Array(bytes.prefix(next(below: bytes.count + 1))) }
        return bytes
    }

    private mutating func change(_ bytes: inout [UInt8], _ places: [Range<Int>]) {
        guard !bytes.isEmpty else { return }
        let whole = bytes.indices
        let place =
            places.isEmpty || next(below: 8) == 0
            ? whole : places[next(below: places.count)].clamped(to: whole)
        guard !place.isEmpty else { return }
        let position = place.lowerBound + next(below: place.count)
        switch next(below: 4) {
        case 0: bytes[position] ^= 1 << UInt8(next(below: 8))
        case 1: bytes[position] = UInt8(truncatingIfNeeded: next())
        default: write(Self.remarkable[next(below: Self.remarkable.count)], at: position, &bytes)
        }
    }

    /// Numbers at the edges of what fields can hold.
    private static let remarkable: [UInt64] = [
        0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
        0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, 0xffff_ffff_ffff_ffff,
        0xffff_ffff_ffff_fff8,
    ]

    /// Over 1, 2, 4 or 8 bytes, aligned as fields are.
    private mutating func write(_ value: UInt64, at position: Int, _ bytes: inout [UInt8]) {
        let size = 1 << next(below: 4)
        let start = position / size * size
        for index in 0..<size where bytes.indices.contains(start + index) {
            bytes[start + index] = UInt8(truncatingIfNeeded: value >> UInt64(index * 8))
        }
    }
}
