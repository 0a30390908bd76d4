import Glibc

/// What the bench prints: tables on standard output, progress on a terminal's
/// standard error.
final class Report {
    /// Figures that were to be reached and were not.
    private(set) var missed: [String] = []

    func heading(_ text: String) { write("\n\(text)\n") }
    func line(_ text: String) { write("  \(text)\n") }

    func table(_ rows: [[String]]) {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        for row in rows {
            let cells = row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + padding : padding + cell
            }
            line(cells.joined(separator: "  "))
        }
    }

    /// A figure beside what it is to be.
    func target(_ name: String, _ found: String, atMost limit: String, holds: Bool) {
        line("\(holds ? "pass" : "MISS")  \(name): \(found), to be at most \(limit)")
        if !holds { missed.append(name) }
    }

    func progress(_ text: String) {
        guard isatty(STDERR_FILENO) == 1 else { return }
        let shown = "\r\u{1b}[K" + text
        unsafe Glibc.write(STDERR_FILENO, shown, shown.utf8.count)
    }

    private func write(_ text: String) {
        progress("")
        // Straight out: a reader of the pipe sees each table as it is done.
        unsafe Glibc.write(STDOUT_FILENO, text, text.utf8.count)
    }
}
