/// A place of two bytes for a `jmp rel8`, and the island that it leads to.
struct ShortSite: Sendable {
    /// From the function's start.
    let offset: UInt64
    let island: UInt64
}

/// Finds short sites for the functions that have no other.
struct ShortSiteSearch {
    /// The functions that are served, in the order of addresses, with the offsets
    /// at which two bytes would do: bit n for offset n.
    private var candidates: [(row: Int, sites: UInt32)] = []
    private var padding: [Range<UInt64>] = []
    private let code: CodeMap
    private let rows: [FunctionRow]

    init(_ code: CodeMap, _ rows: [FunctionRow], _ boundaries: [UInt64]) {
        self.code = code
        self.rows = rows
        for index in rows.indices where rows[index].mayNeedShortSite {
            let row = rows[index]
            let judge = EntryJudge(
                region: code.regions[Int(row.region)], row: row,
                boundaries: boundaries[boundaries.firstIndex(after: row.start)...])
            let sites = judge.judge(size: Site.shortJumpSize).sites
            if sites != 0 { candidates.append((index, sites)) }
        }
        guard !candidates.isEmpty else { return }
        let finder = PaddingFinder(code: code, rows: rows, boundaries: boundaries)
        padding = finder.padding(near: candidates.map { Self.reach(of: rows[$0.row]) })
    }

    /// All addresses that a short jump of this function may concern.
    private static func reach(of row: FunctionRow) -> Range<UInt64> {
        let highest = row.start + EntryJudge.lastSiteOffset + Site.shortJumpSize
        return (row.start > 128 ? row.start - 128 : 0)..<highest + 128 + Site.jumpSize
    }

    var isEmpty: Bool { candidates.isEmpty || padding.isEmpty }

    /// Marks every address to which nothing may lead.
    func mark(in marks: AddressMarks) {
        for candidate in candidates {
            for offset in FunctionRow.offsets(in: candidate.sites) {
                marks.insert(rows[candidate.row].start + offset + 1)
            }
        }
        for gap in padding { marks.insert(gap) }
    }

    /// Gives each function that can be served its site, by its number: `references`
    /// are all that lead to what ``mark(in:)`` has marked. nil where memory is short.
    func sites(without references: [Reference]) -> [Int: ShortSite]? {
        // Relocations harm a site's first byte too.
        guard let led = AddressMarks(from: code.low, to: code.high),
            let relocated = AddressMarks(from: code.low, to: code.high),
            let reserved = AddressMarks(from: code.low, to: code.high)
        else { return nil }
        for reference in references {
            led.insert(reference.bytes)
            if case .relocation = reference.kind { relocated.insert(reference.bytes) }
        }
        reservePaddingInSites(in: reserved)
        var allocator = IslandAllocator(padding) { !led.contains($0) && !reserved.contains($0) }
        var found: [Int: ShortSite] = [:]
        for candidate in candidates {
            let start = rows[candidate.row].start
            for offset in FunctionRow.offsets(in: candidate.sites) {
                let site = start + offset
                guard !led.contains(site + 1), !relocated.contains(site),
                    let island = allocator.take(for: site)
                else { continue }
                found[candidate.row] = ShortSite(offset: offset, island: island)
                break
            }
        }
        return found
    }

    /// The detour of a function that ends early reaches into the padding behind it.
    private func reservePaddingInSites(in reserved: AddressMarks) {
        for row in rows where row.code == .patchable {
            guard let offset = row.siteOffsets.first else { continue }
            reserved.insert(row.end..<max(row.end, row.start + offset + Site.jumpSize))
        }
        for candidate in candidates {
            let row = rows[candidate.row]
            for offset in FunctionRow.offsets(in: candidate.sites) {
                reserved.insert(row.end..<max(row.end, row.start + offset + Site.shortJumpSize))
            }
        }
    }
}

extension FunctionRow {
    /// Whether it is a function in the code that has no site of five bytes.
    fileprivate var mayNeedShortSite: Bool {
        code != .patchable && kind.verdict == nil && region >= 0
    }
}
