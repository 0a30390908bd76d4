import ELFImage

extension FunctionCatalog {
    /// The name of the object.
    public var name: String { image.name }

    /// Names that somebody may have meant who wrote `wanted`: those that contain it
    /// or are one or two letters off, the nearest first, at most five.
    public func similarNames(to wanted: String) -> [String] {
        let target = Array(wanted.lowercased().utf8)
        var found: [(distance: Int, name: String)] = []
        for name in Set(flatMap { $0.names.map(\.text) }) {
            let candidate = Array(name.lowercased().utf8)
            if candidate.count <= target.count + 2, target.count <= candidate.count + 2 {
                let distance = editDistance(candidate, target)
                if distance <= 2 { found.append((distance, name)) }
            } else if name.lowercased().contains(wanted.lowercased()) {
                found.append((candidate.count - target.count, name))
            }
        }
        return found.sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }
            .prefix(5).map(\.name)
    }
}

/// How many letters have to be inserted, removed or replaced (Levenshtein).
private func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var row = Array(0...right.count)
    for (index, letter) in left.enumerated() {
        var diagonal = row[0]
        row[0] = index + 1
        for (column, other) in right.enumerated() {
            let replaced = diagonal + (letter == other ? 0 : 1)
            diagonal = row[column + 1]
            row[column + 1] = Swift.min(replaced, row[column] + 1, diagonal + 1)
        }
    }
    return row[right.count]
}
