/// The names that somebody may have meant who wrote another.
enum NameSuggestions {
    /// At most two, the closest first.
    static func similar(to name: String, among names: some Sequence<String>) -> [String] {
        if let plain = unmangled(name), names.contains(where: { $0 == plain }) { return [plain] }
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

    /// The name in the source of a C++ function outside of all namespaces and
    /// classes (Itanium C++ ABI, 5.1: `_Z`, the length, the name); nil of others.
    static func unmangled(_ name: String) -> String? {
        guard name.hasPrefix("_Z") else { return nil }
        let rest = name.dropFirst(name.hasPrefix("_ZL") ? 3 : 2)
        let digits = rest.prefix { ("0"..."9").contains($0) }
        guard let length = Int(digits), length > 0 else { return nil }
        let plain = rest.dropFirst(digits.count).prefix(length)
        return plain.utf8.count == length ? String(plain) : nil
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
