/// Rows of text under headings, printed for people or as tab-separated values.
struct Table {
    struct Column {
        let title: String
        var alignment: Alignment = .left
        /// Cut with an ellipsis where the terminal is too narrow; at most one
        /// column of a table should say so, the others keep their width.
        var mayShrink = false
    }

    enum Alignment { case left, right }

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

    /// Names come from files of strangers: what would steer the terminal is shown as `?`.
    static func printable(_ cell: String) -> String {
        guard cell.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return cell }
        return String(
            String.UnicodeScalarView(
                cell.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? "?" : $0 }))
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
        if let width, let shrinking = columns.firstIndex(where: \.mayShrink) {
            let total = widths.reduce(0, +) + 2 * (widths.count - 1)
            if total > width {
                let least = min(widths[shrinking], max(columns[shrinking].title.count, 12))
                widths[shrinking] = max(least, widths[shrinking] - (total - width))
            }
        }
        return widths
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var text = ""
        for (index, cell) in cells.enumerated() {
            let cell = Self.printable(cell)
            let fitted =
                cell.count > widths[index] ? cell.prefix(widths[index] - 1) + "…" : cell[...]
            let padding = String(repeating: " ", count: widths[index] - fitted.count)
            let isLast = index == cells.count - 1
            switch columns[index].alignment {
            case .left: text += isLast ? String(fitted) : fitted + padding + "  "
            case .right: text += padding + fitted + (isLast ? "" : "  ")
            }
        }
        while text.last == " " { text.removeLast() }
        return text
    }
}
