/// Measured values of one kind.
struct Sample {
    private var values: [Double] = []

    mutating func add(_ value: Double) { values.append(value) }

    var count: Int { values.count }
    var median: Double { quantile(0.5) }
    var p90: Double { quantile(0.9) }
    var p99: Double { quantile(0.99) }
    var largest: Double { values.max() ?? .nan }

    /// `median (p90, max)`.
    var summary: String { "\(median.fixed(0)) (\(p90.fixed(0)), \(largest.fixed(0)))" }

    /// The value below which the given share lies (nearest rank).
    private func quantile(_ share: Double) -> Double {
        guard !values.isEmpty else { return .nan }
        let rank = (share * Double(values.count)).rounded(.up)
        return values.sorted()[max(0, min(values.count - 1, Int(rank) - 1))]
    }
}

/// Numbers as the table shows them.
extension Double {
    func fixed(_ digits: Int) -> String {
        guard isFinite else { return "-" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int64((self * scale).rounded())
        let sign = scaled < 0 ? "-" : ""
        guard digits > 0 else { return "\(scaled)" }
        let (whole, rest) = scaled.magnitude.quotientAndRemainder(dividingBy: UInt64(scale))
        let text = String(rest)
        return sign + "\(whole)." + String(repeating: "0", count: digits - text.count) + text
    }
}
