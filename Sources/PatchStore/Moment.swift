import Glibc

/// A moment of the calendar, to the microsecond, written as RFC 3339 wants it, in UTC.
public struct Moment: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let microsecondsSince1970: Int64

    public init(microsecondsSince1970: Int64) {
        self.microsecondsSince1970 = microsecondsSince1970
    }

    public static var now: Moment {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return Moment(
            microsecondsSince1970: Int64(time.tv_sec) &* 1_000_000 &+ Int64(time.tv_nsec) / 1000)
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.microsecondsSince1970 < right.microsecondsSince1970
    }

    /// Whole seconds, rounded down.
    public var secondsSince1970: Int64 {
        Self.floor(microsecondsSince1970, 1_000_000)
    }

    /// `2026-11-23T06:30:06.123456Z`
    public var description: String {
        let day = Self.floor(secondsSince1970, 86400)
        let second = secondsSince1970 - day * 86400
        let date = Self.date(ofDay: day)
        let fraction = microsecondsSince1970 &- secondsSince1970 &* 1_000_000
        func digits(_ value: Int64, _ width: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        return digits(date.year, 4) + "-" + digits(date.month, 2) + "-" + digits(date.day, 2) + "T"
            + digits(second / 3600, 2) + ":" + digits(second / 60 % 60, 2) + ":"
            + digits(second % 60, 2) + "." + digits(fraction, 6) + "Z"
    }

    /// Rounded down; `divisor` is positive.
    private static func floor(_ value: Int64, _ divisor: Int64) -> Int64 {
        let (quotient, rest) = value.quotientAndRemainder(dividingBy: divisor)
        return rest < 0 ? quotient - 1 : quotient
    }

    /// Days from the first of 1970 to a date of the Gregorian calendar: years begin in
    /// March here, so that the day that only some years have comes last.
    private static func day(of year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month > 2 ? year : year - 1
        let era = floor(year, 400)
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
            - 719_468
    }

    /// The other way round.
    private static func date(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = day + 719_468
        let era = floor(shifted, 146_097)
        let rest = shifted - era * 146_097
        let yearOfEra = (rest - rest / 1460 + rest / 36524 - rest / 146_096) / 365
        let dayOfYear = rest - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (
            yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month,
            dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        )
    }

    /// Reads `2026-11-23T06:30:06Z`, with a fraction of a second or without, in UTC or
    /// at a distance from it (`+01:00`), and the mere date, which is its first moment in
    /// UTC. nil for anything else.
    public init?(_ text: String) {
        var cursor = Array(text.utf8)[...]
        guard let year = Self.number(4, &cursor), Self.skip("-", &cursor),
            let month = Self.number(2, &cursor), Self.skip("-", &cursor),
            let day = Self.number(2, &cursor), (1...12).contains(month)
        else { return nil }
        let number = Self.day(of: year, month, day)
        // The 31st of April would be the 1st of May.
        guard Self.date(ofDay: number) == (year, month, day) else { return nil }
        guard let time = cursor.isEmpty ? 0 : Self.time(&cursor), cursor.isEmpty else { return nil }
        microsecondsSince1970 = number * 86_400_000_000 + time
    }

    /// Microseconds after midnight, UTC.
    private static func time(_ cursor: inout ArraySlice<UInt8>) -> Int64? {
        guard skip("T", &cursor) || skip(" ", &cursor),
            let hour = number(2, &cursor), skip(":", &cursor),
            let minute = number(2, &cursor), skip(":", &cursor),
            let second = number(2, &cursor), hour < 24, minute < 60, second < 61
        else { return nil }
        let fraction = fraction(&cursor)
        guard let distance = distance(&cursor) else { return nil }
        return (hour * 3600 + minute * 60 + second - distance) * 1_000_000 + fraction
    }

    private static func number(_ width: Int, _ cursor: inout ArraySlice<UInt8>) -> Int64? {
        let digits = cursor.prefix(width)
        guard digits.count == width, digits.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        cursor = cursor.dropFirst(width)
        return digits.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }

    private static func skip(_ character: Unicode.Scalar, _ cursor: inout ArraySlice<UInt8>) -> Bool
    {
        guard let first = cursor.first, UInt32(first) == character.value else { return false }
        cursor = cursor.dropFirst()
        return true
    }

    /// Microseconds; what is finer is left out.
    private static func fraction(_ cursor: inout ArraySlice<UInt8>) -> Int64 {
        guard skip(".", &cursor) else { return 0 }
        var value: Int64 = 0
        var weight: Int64 = 100_000
        while let digit = number(1, &cursor) {
            value += digit * weight
            weight /= 10
        }
        return value
    }

    /// Seconds east of UTC.
    private static func distance(_ cursor: inout ArraySlice<UInt8>) -> Int64? {
        if skip("Z", &cursor) { return 0 }
        let sign: Int64
        if skip("+", &cursor) {
            sign = 1
        } else if skip("-", &cursor) {
            sign = -1
        } else {
            return nil
        }
        guard let hours = number(2, &cursor), skip(":", &cursor), let minutes = number(2, &cursor),
            hours < 24, minutes < 60
        else { return nil }
        return sign * (hours * 3600 + minutes * 60)
    }
}
