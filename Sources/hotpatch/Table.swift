/// Rows of text under headings, printed for people or as tab-separated values.
struct Table {
    struct Column {
        let title: String
        var alignment: Alignment = .left
        /// How it gives way where the terminal is too narrow; nil keeps its width.
        var shrinking: Shrinking?
    }

    enum Alignment { case left, right }

    /// How a column is cut, with an ellipsis for what is left out.
    struct Shrinking {
        /// The columns of the lowest rank give way first, as far as they can.
        let rank: Int
        /// The width that is left in any case.
        let least: Int
        /// Whether cells are paths: these are cut at the front, and the file name stays.
        var keepsFileName = false
    }

    let columns: [Column]
    private(set) var rows: [[String]] = []

    init(_ columns: [Column]) { self.columns = columns }

    /// Missing cells are empty, further ones are dropped.
    mutating func add(_ cells: [String]) {
        let filled = cells + Array(repeating: "", count: max(0, columns.count - cells.count))
        rows.append(Array(filled.prefix(columns.count)))
    }

    func text(format: OutputFormat, width: Int?) -> String {
        format == .tsv ? tabSeparated() : aligned(width: width)
    }

    private func tabSeparated() -> String {
        ([columns.map { $0.title.lowercased() }] + rows)
            .map { row in row.map(Self.escaped).joined(separator: "\t") + "\n" }
            .joined()
    }

    /// Tabs and line ends inside a cell would break the format.
    private static func escaped(_ cell: String) -> String {
        guard cell.utf8.contains(where: { $0 == 9 || $0 == 10 || $0 == 13 || $0 == 92 }) else {
            return cell
        }
        var text = ""
        for character in cell.unicodeScalars {
            switch character {
            case "\t": text += "\\t"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\\": text += "\\\\"
            default: text.unicodeScalars.append(character)
            }
        }
        return text
    }

    private func aligned(width: Int?) -> String {
        let widths = columnWidths(fitting: width)
        let titles = columns.map { $0.title.uppercased() }
        return ([titles] + rows).map { line($0, widths) + "\n" }.joined()
    }

    private func columnWidths(fitting width: Int?) -> [Int] {
        var widths = columns.map(\.title.count)
        for row in rows {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
        }
        guard let width else { return widths }
        var excess = widths.reduce(0, +) + 2 * (widths.count - 1) - width
        for index in columns.indices.sorted(by: { rank($0) < rank($1) }) where excess > 0 {
            let cut = min(excess, max(0, widths[index] - leastWidth(index, widths[index])))
            widths[index] -= cut
            excess -= cut
        }
        return widths
    }

    private func rank(_ index: Int) -> Int { columns[index].shrinking?.rank ?? .max }

    /// How narrow a column may become whose full width is `full`.
    private func leastWidth(_ index: Int, _ full: Int) -> Int {
        guard let shrinking = columns[index].shrinking else { return full }
        let least = max(columns[index].title.count, shrinking.least)
        guard shrinking.keepsFileName else { return least }
        // The ellipsis stands for the directories.
        return rows.map { ($0[index].split(separator: "/").last?.count ?? 0) + 1 }
            .reduce(least, max)
    }

    private func fitted(_ cell: String, _ index: Int, _ width: Int) -> String {
        guard cell.count > width else { return cell }
        return columns[index].shrinking?.keepsFileName ?? false
            ? "…" + cell.suffix(width - 1) : cell.prefix(width - 1) + "…"
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var text = ""
        for (index, cell) in cells.enumerated() {
            let fitted = fitted(cell.printableLine, index, widths[index])
            let padding = String(repeating: " ", count: widths[index] - fitted.count)
            let isLast = index == cells.count - 1
            switch columns[index].alignment {
            case .left: text += isLast ? fitted : fitted + padding + "  "
            case .right: text += padding + fitted + (isLast ? "" : "  ")
            }
        }
        while text.last == " " { text.removeLast() }
        return text
    }
}
