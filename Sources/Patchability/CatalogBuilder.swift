import Addresses
import ELFImage
import Threads

/// Makes a catalog: collects what is known, judges each entry by its bytes, and
/// then searches for what leads into the sites: first into those of five bytes, then
/// for the functions that are left without one into short ones.
struct CatalogBuilder {
    let code: CodeMap
    let tables: NameTables
    let resolvers: [LinkAddress]
    let labels: [Label]
    let boundaries: [UInt64]
    private let image: ELFImage
    private let relocations: [Relocation]
    private let data: [CodeRegion]
    private let built: [FunctionRow]

    init(_ image: ELFImage, _ debugImage: ELFImage?) throws(ELFError) {
        self.image = image
        code = try CodeMap(image)
        data = try image.initialData()
        tables = try NameTables(image, debugImage)
        relocations = try image.dynamicRelocations()
        let plt = PLTReader(code, relocations)
        resolvers = plt.resolvers
        var collector = LabelCollector(code)
        for (origin, table) in tables.all { collector.add(table, origin) }
        collector.add(try image.unwindRanges())
        collector.add(plt.stubs())
        var labels = collector.labels
        sortByAddress(&labels)
        self.labels = labels
        var builder = RowBuilder(code, sorted: labels)
        builder.markFragments(by: tables)
        built = builder.rows
        boundaries = builder.boundaries
    }

    /// What was found about the functions.
    struct Judgement {
        var rows: [FunctionRow]
        /// What leads into the possible sites of a function, by its number.
        var evidence: [Int: [Reference]] = [:]
        /// The sites of two bytes, by the function's number.
        var shortSites: [Int: ShortSite] = [:]
    }

    /// Gives each function its verdict, and what leads into its possible sites.
    func judge() throws(CatalogError) -> Judgement {
        var found = Judgement(rows: built)
        let marks = try emptyMarks()
        judgeEntries(&found.rows, marks)
        for reference in try references(found.rows, marks) { strike(reference, &found) }
        found.shortSites = try shortSites(found.rows)
        for row in found.shortSites.keys { found.rows[row].code = .patchable }
        return found
    }

    private func emptyMarks() throws(CatalogError) -> AddressMarks {
        guard let marks = AddressMarks(from: code.low, to: code.high) else {
            throw .outOfMemory(name: image.name)
        }
        return marks
    }

    private func shortSites(_ rows: [FunctionRow]) throws(CatalogError) -> [Int: ShortSite] {
        let search = ShortSiteSearch(code, rows, boundaries)
        guard !search.isEmpty else { return [:] }
        let marks = try emptyMarks()
        search.mark(in: marks)
        guard let sites = search.sites(without: try references(rows, marks)) else {
            throw .outOfMemory(name: image.name)
        }
        return sites
    }

    // MARK: - Entries

    /// So many functions are judged by one thread at a time.
    private static let portion = 4096

    private func judgeEntries(_ rows: inout [FunctionRow], _ marks: AddressMarks) {
        let portions = stride(from: 0, to: rows.count, by: Self.portion).map {
            rows[$0..<min($0 + Self.portion, rows.count)]
        }
        rows = WorkerThreads.map(portions, judged).flatMap(\.self)
        for row in rows {
            var rest = row.sites
            while rest != 0 {
                let site = row.start + UInt64(rest.trailingZeroBitCount)
                for byte in 1..<Site.jumpSize { marks.insert(site + byte) }
                rest &= rest - 1
            }
        }
    }

    /// The rows with their verdicts, as far as their own bytes tell. Rows and labels
    /// are sorted both, so one pass serves all.
    private func judged(_ rows: ArraySlice<FunctionRow>) -> [FunctionRow] {
        guard let first = rows.first else { return [] }
        var next = boundaries.firstIndex(after: first.start)
        return rows.map { row in
            var row = row
            while next < boundaries.count, boundaries[next] <= row.start { next += 1 }
            judgeEntry(&row, boundaries[next...])
            return row
        }
    }

    private func judgeEntry(_ row: inout FunctionRow, _ boundaries: ArraySlice<UInt64>) {
        guard row.region >= 0 else {
            row.code = .outsideCode
            return
        }
        if let code = row.kind.verdict {
            row.code = code
            return
        }
        let judge = EntryJudge(
            region: code.regions[Int(row.region)], row: row, boundaries: boundaries)
        let (sites, refusal) = judge.judge()
        row.sites = sites
        row.code = refusal?.code ?? .patchable
    }

    // MARK: - What leads into sites

    private func references(
        _ rows: [FunctionRow], _ marks: AddressMarks
    ) throws(CatalogError) -> [Reference] {
        var search: ReferenceSearch
        do throws(DecoderUnavailable) {
            search = try ReferenceSearch(code, rows, marks)
        } catch {
            throw .decoderUnavailable
        }
        search.searchCode(tables: data.filter { !$0.isWritable } + code.regions)
        if image.kind == .executable {
            for region in data where region.mayHoldPointers { search.searchWords(inData: region) }
            for region in code.regions { search.searchWords(inCode: region) }
        }
        for relocation in relocations {
            if let target = tables.value(of: relocation) {
                search.takePointer(at: relocation.offset.rawValue, to: target)
            }
        }
        return search.references + textRelocations()
    }

    private func textRelocations() -> [Reference] {
        relocations.filter { code.regionIndex(of: $0.offset.rawValue) != nil }.map {
            Reference(kind: .relocation, from: $0.offset.rawValue, target: $0.offset.rawValue)
        }
    }

    /// Takes from the functions near the reference's target the sites that it
    /// leads into.
    private func strike(_ reference: Reference, _ found: inout Judgement) {
        // The last function that may reach the target with its site.
        guard let last = found.rows.lastFunction(upTo: reference.target &+ 7) else { return }
        let reach = EntryJudge.lastSiteOffset + Site.jumpSize
        for row in stride(from: last, through: 0, by: -1) {
            let start = found.rows[row].start
            guard start.addingReportingOverflow(reach).partialValue > reference.target
            else { return }
            let struck = found.rows[row].siteOffsets.filter { reference.leads(into: start + $0) }
            guard !struck.isEmpty else { continue }
            for offset in struck { found.rows[row].sites &= ~(1 << UInt32(offset)) }
            found.evidence[row, default: []].append(reference)
            if found.rows[row].sites == 0 {
                found.rows[row].code = (found.evidence[row]?.first ?? reference).verdict
            }
        }
    }
}

extension ELFImage {
    /// All bytes that the loader maps and nobody executes.
    func initialData() throws(ELFError) -> [CodeRegion] {
        var regions: [CodeRegion] = []
        for section in sections
        where section.flags.contains(.allocated) && !section.flags.contains(.executable)
            && section.type != .noBits && section.address.advanced(by: section.size) != nil
        {
            regions.append(
                CodeRegion(
                    name: section.name, start: section.address.rawValue,
                    bytes: try bytes(of: section), entrySize: section.entrySize,
                    isWritable: section.flags.contains(.writable),
                    mayHoldPointers: section.type.mayHoldPointers))
        }
        try regions.requireShareOfFile(self)
        return regions
    }
}

extension SectionType {
    /// Whether a program may find pointers to code in such a section: not in what
    /// the loader reads only.
    fileprivate var mayHoldPointers: Bool {
        switch self {
        case .stringTable, .relocations, .relocationsWithAddends, .relativeRelocations, .note,
            .dynamicSymbols, .hash, .gnuHash, .versionDefinitions, .versionIndexes, .versionNeeds:
            false
        default: true
        }
    }
}

extension NameTables {
    /// The address that the loader writes, less the load bias; nil where it is not
    /// known or lies in another object.
    func value(of relocation: Relocation) -> UInt64? {
        switch relocation.type {
        case .relative, .indirectRelative:
            return UInt64(bitPattern: relocation.addend)
        case .absolute64:
            guard let entry = dynamic?[Int(relocation.symbolIndex)], !entry.isUndefined
            else { return nil }
            return entry.value.rawValue &+ UInt64(bitPattern: relocation.addend)
        default:
            return nil
        }
    }
}
