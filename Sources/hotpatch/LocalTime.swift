import Glibc

/// A moment as people read it: local time with its distance from UTC (ISO 8601).
enum LocalTime {
    static func text(_ secondsSince1970: UInt64) -> String {
        var moment = time_t(clamping: secondsSince1970)
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            var fields = unsafe tm()
            guard unsafe localtime_r(&moment, &fields) != nil, let start = buffer.baseAddress,
                unsafe strftime(start, buffer.count, "%Y-%m-%dT%H:%M:%S%z", &fields) > 0
            else { return "" }
            return unsafe String(cString: start)
        }
    }
}
