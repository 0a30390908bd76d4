/// Numbers that JSON's own cannot carry, and bytes, as hexadecimal text.
public enum Hexadecimal {
    /// Two lower-case digits a byte.
    public static func text(_ bytes: some Sequence<UInt8>) -> String { text(Array(bytes)) }

    /// The same, for other modules without the cost of a generic function.
    public static func text(_ bytes: [UInt8]) -> String {
        unsafe String(unsafeUninitializedCapacity: 2 * bytes.count) { digits in
            for (index, byte) in bytes.enumerated() {
                unsafe digits[2 * index] = digit(byte >> 4)
                unsafe digits[2 * index + 1] = digit(byte & 15)
            }
            return 2 * bytes.count
        }
    }

    /// `0x` and at least `width` digits, of which there are at most 16.
    public static func text(_ number: UInt64, width: Int = 1) -> String {
        let count = max(min(width, 16), 1, (67 - number.leadingZeroBitCount) / 4)
        return unsafe String(unsafeUninitializedCapacity: count + 2) { digits in
            unsafe digits[0] = UInt8(ascii: "0")
            unsafe digits[1] = UInt8(ascii: "x")
            for index in 0..<count {
                unsafe digits[index + 2] = digit(
                    UInt8(truncatingIfNeeded: number >> (4 * UInt64(count - 1 - index))) & 15)
            }
            return count + 2
        }
    }

    /// The bytes of pairs of digits; nil for anything else.
    public static func bytes(_ text: String) -> [UInt8]? {
        let digits = text.utf8.map(value)
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = digits[index], let low = digits[index + 1] else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    /// The number behind `0x`; nil for anything else, and beyond 64 bits.
    public static func number(_ text: String) -> UInt64? {
        guard text.hasPrefix("0x"), text.utf8.count > 2 else { return nil }
        var number: UInt64 = 0
        for byte in text.utf8.dropFirst(2) {
            guard let value = value(byte), number >> 60 == 0 else { return nil }
            number = number << 4 | UInt64(value)
        }
        return number
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension JSONCursor {
    /// A number written as `"0x…"`.
    public func hexadecimalNumber() throws(JSONError) -> UInt64 {
        guard let number = Hexadecimal.number(try string()) else {
            throw mismatch("a hexadecimal number of at most 64 bits, such as \"0x4a0\"")
        }
        return number
    }

    /// Bytes written as pairs of digits.
    public func hexadecimalBytes() throws(JSONError) -> [UInt8] {
        guard let bytes = Hexadecimal.bytes(try string()) else {
            throw mismatch("pairs of hexadecimal digits")
        }
        return bytes
    }
}
