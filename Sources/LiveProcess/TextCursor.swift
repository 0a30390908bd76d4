/// Reads the text files of /proc from front to back. What does not match gives
/// nil and leaves the cursor where it stood.
struct TextCursor {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position >= bytes.count }

    /// The next character, which stays.
    var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    /// Takes one character where it is the next.
    mutating func skip(_ character: Character) -> Bool {
        guard let wanted = character.asciiValue, next == wanted else { return false }
        position += 1
        return true
    }

    mutating func skipSpaces() {
        while next == UInt8(ascii: " ") || next == UInt8(ascii: "\t") { position += 1 }
    }

    mutating func take() -> UInt8? {
        guard let byte = next else { return nil }
        position += 1
        return byte
    }

    /// A number without sign; nil where there is none or it is too large.
    mutating func number(radix: UInt64 = 10) -> UInt64? {
        var value: UInt64 = 0
        var index = position
        while index < bytes.count, let digit = Self.digit(bytes[index]), digit < radix {
            let (product, overflow) = value.multipliedReportingOverflow(by: radix)
            let (sum, carry) = product.addingReportingOverflow(digit)
            guard !overflow, !carry else { return nil }
            value = sum
            index += 1
        }
        guard index > position else { return nil }
        position = index
        return value
    }

    /// What is left of the line, without its end, which is taken too.
    mutating func restOfLine() -> ArraySlice<UInt8> {
        let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        defer { position = min(end + 1, bytes.count) }
        return bytes[position..<end]
    }

    private static func digit(_ byte: UInt8) -> UInt64? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }
}
