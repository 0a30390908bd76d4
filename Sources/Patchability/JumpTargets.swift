import Addresses
import ELFImage

/// Reads tables of relative addresses, by which a switch jumps.
final class JumpTables: Sendable {
    /// So many entries are read at most; no switch has that many cases.
    static let entryLimit = 1 << 16

    private let code: CodeMap
    /// The read-only data that tables lie in, and the code.
    private let regions: [CodeRegion]

    init(of code: CodeMap, _ data: [CodeRegion]) {
        self.code = code
        regions = data.filter { !$0.isWritable } + code.regions
    }

    /// Where the entries of a table lead, up to the first that leads out of the
    /// code. Where no table stands at `address`, there may be some all the same.
    func entries(ofTableAt address: UInt64, limit: UInt64 = .max) -> [UInt64] {
        guard address & 3 == 0, let region = regions.first(where: { $0.offset(of: address) != nil })
        else { return [] }
        var goals: [UInt64] = []
        var position = address
        while position < limit, goals.count < Self.entryLimit,
            let offset = region.offset(of: position),
            let delta = region.bytes.load(offset, as: Int32.self)
        {
            let goal = address &+ UInt64(bitPattern: Int64(delta))
            guard goal >= code.low, goal < code.high else { break }
            goals.append(goal)
            position += 4
        }
        return goals
    }
}

/// Lists of labels: words one after the other that point into one function, one
/// of them to its entry. What a pointer to a function stands beside leads
/// elsewhere.
struct LabelLists {
    private typealias Word = (place: UInt64, target: UInt64)

    private let catalog: FunctionCatalog
    /// Where, by what they lead to at the start of a function.
    private(set) var found: [UInt64: UInt64] = [:]

    init(_ catalog: FunctionCatalog) { self.catalog = catalog }

    mutating func search(_ data: [CodeRegion]) throws(ELFError) {
        var words = try catalog.image.dynamicRelocations().compactMap { relocation in
            catalog.tables.value(of: relocation).map { (relocation.offset.rawValue, $0) as Word }
        }
        take(&words)
        guard catalog.image.kind == .executable else { return }
        for region in data where region.mayHoldPointers {
            var words: [Word] = []
            for offset in stride(from: 0, to: region.bytes.count, by: 8) {
                guard let word = region.bytes.load(offset, as: UInt64.self) else { break }
                words.append((region.start + UInt64(offset), word))
            }
            take(&words)
        }
    }

    private mutating func take(_ words: inout [Word]) {
        words.removeAll { $0.target < catalog.code.low || $0.target >= catalog.code.high }
        words.sort { $0.place < $1.place }
        for (one, next) in zip(words, words.dropFirst())
        where next.place == one.place &+ 8 && one.target != next.target {
            let low = min(one.target, next.target)
            guard let row = catalog.rows.function(containing: low),
                low - catalog.rows[row].start < EntryJudge.lastSiteOffset + Site.jumpSize,
                catalog.rows[row].contains(max(one.target, next.target))
            else { continue }
            found[low] = one.place
        }
    }
}
