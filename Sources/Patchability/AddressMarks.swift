import Glibc

/// A set of addresses in a range: one bit for each. Untouched parts of a wide
/// range cost no memory.
@safe final class AddressMarks {
    let low: UInt64
    /// Bits.
    let count: UInt64
    /// Bit n says whether some member is n modulo 64.
    private(set) var residues: UInt64 = 0
    let words: UnsafeMutablePointer<UInt64>

    /// nil where memory is short.
    init?(from low: UInt64, to high: UInt64) {
        self.low = low
        count = high - low
        guard let memory = unsafe calloc(Int(clamping: count / 64 + 1), 8) else { return nil }
        unsafe words = unsafe memory.bindMemory(to: UInt64.self, capacity: Int(count / 64 + 1))
    }

    deinit { unsafe free(words) }

    func insert(_ address: UInt64) {
        let bit = address &- low
        guard bit < count else { return }
        unsafe words[Int(bit >> 6)] |= 1 << (bit & 63)
        residues |= 1 << (address & 63)
    }

    func insert(_ addresses: Range<UInt64>) {
        for address in addresses { insert(address) }
    }

    func contains(_ address: UInt64) -> Bool {
        let bit = address &- low
        guard bit < count else { return false }
        let word = unsafe words[Int(bit >> 6)]
        return word >> (bit & 63) & 1 == 1
    }
}
