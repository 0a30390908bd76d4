/// The names that somebody may have meant who wrote another.
enum NameSuggestions {
    /// At most two, the closest first.
    static func similar(to name: String, among names: some Sequence<String>) -> [String] {
        let wanted = Array(name.utf8)
        let limit = max(1, min(3, wanted.count / 3))
        var best: [(distance: Int, name: String)] = []
        for candidate in names where candidate != name {
            let bytes = Array(candidate.utf8)
            guard abs(bytes.count - wanted.count) <= limit,
                let distance = distance(wanted, bytes, limit: limit)
            else { continue }
            best.append((distance, candidate))
        }
        var seen: Set<String> = []
        return best.sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }
            .map(\.name).filter { seen.insert($0).inserted }.prefix(2).map { $0 }
    }

    /// How many bytes must be put in, taken out or changed; nil beyond `limit`.
    private static func distance(_ left: [UInt8], _ right: [UInt8], limit: Int) -> Int? {
        var row = Array(0...right.count)
        for (index, byte) in left.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in right.indices {
                let changed = diagonal + (byte == right[column] ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(changed, diagonal + 1, row[column] + 1)
            }
            if row.min() ?? 0 > limit { return nil }
        }
        return row[right.count] <= limit ? row[right.count] : nil
    }
}
