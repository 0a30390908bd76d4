import ELFImage

extension RowBuilder {
    /// Marks the functions whose name says that they are parts of others: no
    /// string is made for the many whose name has no dot.
    mutating func markFragments(by tables: NameTables) {
        for index in rows.indices where rows[index].kind == .ordinary {
            let first = Int(rows[index].firstLabel)
            let group = labels[first..<first + Int(rows[index].labelCount)]
            if group.contains(where: { $0.isFragment(by: tables) }) {
                rows[index].kind = .fragment
            }
        }
    }
}

extension Label {
    fileprivate func isFragment(by tables: NameTables) -> Bool {
        guard let table = tables[origin], kind != .pltStub,
            let entry = table[Int(symbol)]
        else { return false }
        let offset = Int(entry.nameOffset)
        guard table.strings.cString(at: offset, contains: UInt8(ascii: ".")) else { return false }
        guard let name = table.strings.cString(at: offset) else { return false }
        if case .fragment = CloneSuffix.kind(of: name) { return true }
        return false
    }
}
