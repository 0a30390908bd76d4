import Addresses
import ELFImage

/// One function while a catalog is made. Small and flat; what people read is made
/// of it when they ask (``FunctionRecord``).
struct FunctionRow {
    enum Kind: UInt8 {
        case ordinary
        case fragment
        case ifuncResolver
        case pltStub
        case unnamed
        case outsideCode

        /// The verdict that needs no look at the code.
        var verdict: VerdictCode? {
            switch self {
            case .ordinary, .unnamed: nil
            case .fragment: .fragment
            case .ifuncResolver: .ifuncResolver
            case .pltStub: .pltStub
            case .outsideCode: .outsideCode
            }
        }
    }

    var start: UInt64
    /// Behind its last byte, without padding.
    var end: UInt64
    /// Its labels in the sorted list.
    var firstLabel: UInt32
    var labelCount: UInt32
    /// Its code region, or -1.
    var region: Int32
    var kind: Kind
    var sizeIsKnown: Bool
    /// The sites of five bytes that are possible, by their offsets from the start:
    /// bit n for offset n.
    var sites: UInt32 = 0
    /// Why none is, where none is.
    var code = VerdictCode.patchable

    func contains(_ address: UInt64) -> Bool { address >= start && address < end }

    /// The offsets of the sites of five bytes that are possible, ascending.
    var siteOffsets: [UInt64] { Self.offsets(in: sites) }

    /// The numbers of the bits that are set, ascending.
    static func offsets(in sites: UInt32) -> [UInt64] {
        sites == 0 ? [] : (0..<32).filter { sites >> UInt32($0) & 1 == 1 }
    }
}

/// Makes functions of sorted labels.
struct RowBuilder {
    private let code: CodeMap
    let labels: [Label]
    var rows: [FunctionRow] = []
    /// Every address in the code at which a label stands, ascending: no site
    /// covers one, but with its first byte.
    private(set) var boundaries: [UInt64] = []
    /// Behind the last byte that a function with a known size covers so far.
    private var covered: UInt64 = 0
    private var region = -1

    init(_ code: CodeMap, sorted labels: [Label]) {
        self.code = code
        self.labels = labels
        rows.reserveCapacity(labels.count / 2)
        boundaries.reserveCapacity(labels.count)
        var index = 0
        while index < labels.count {
            var end = index + 1
            while end < labels.count, labels[end].address == labels[index].address { end += 1 }
            take(index..<end)
            index = end
        }
        endOpenRows()
    }

    private mutating func take(_ group: Range<Int>) {
        let address = labels[group.lowerBound].address
        if region < 0 || code.regions[region].offset(of: address) == nil {
            region = code.regionIndex(of: address) ?? -1
        }
        if region >= 0 { boundaries.append(address) }
        var facts = GroupFacts()
        for label in labels[group] { facts.take(label) }
        guard let kind = kind(facts, at: address) else { return }
        let size = facts.symbolSize > 0 ? facts.symbolSize : facts.unwindSize
        let limit = region >= 0 ? code.regions[region].end : UInt64.max
        let end = min(address.addingReportingOverflow(size).partialValue, limit)
        rows.append(
            FunctionRow(
                start: address, end: max(address, end), firstLabel: UInt32(group.lowerBound),
                labelCount: UInt32(group.count), region: Int32(region), kind: kind,
                sizeIsKnown: size > 0))
        covered = max(covered, end)
    }

    /// What the group is; nil where it is no function.
    private func kind(_ facts: GroupFacts, at address: UInt64) -> FunctionRow.Kind? {
        let inside = address < covered
        if facts.hasStub { return .pltStub }
        if facts.hasResolver { return region >= 0 ? .ifuncResolver : .outsideCode }
        if facts.hasFunction { return region >= 0 ? .ordinary : .outsideCode }
        guard region >= 0 else { return nil }
        if facts.hasGlobalLabel && !inside { return .ordinary }
        if facts.hasLocalLabel && facts.unwindSize > 0 && !inside { return .ordinary }
        // A PLT's own unwind entry covers all its stubs.
        guard facts.unwindSize > 0, !inside, !PLTReader.isPLT(code.regions[region]) else {
            return nil
        }
        return facts.startsInsideFrame ? .fragment : .unnamed
    }

    /// Lets functions without a size reach up to whatever comes next.
    private mutating func endOpenRows() {
        var next = 0
        for index in rows.indices where !rows[index].sizeIsKnown && rows[index].region >= 0 {
            let start = rows[index].start
            while next < boundaries.count, boundaries[next] <= start { next += 1 }
            let limit = code.regions[Int(rows[index].region)].end
            rows[index].end = next < boundaries.count ? min(boundaries[next], limit) : limit
        }
    }
}

/// What the labels at one address say together.
private struct GroupFacts {
    var hasStub = false
    var hasResolver = false
    var hasFunction = false
    var hasGlobalLabel = false
    var hasLocalLabel = false
    var startsInsideFrame = false
    var symbolSize: UInt64 = 0
    var unwindSize: UInt64 = 0

    mutating func take(_ label: Label) {
        switch label.kind {
        case .pltStub: hasStub = true
        case .indirectFunction: hasResolver = true
        case .function: hasFunction = true
        case .globalLabel: hasGlobalLabel = true
        case .localLabel: hasLocalLabel = true
        case .unwindInsideFrame: startsInsideFrame = true
        case .unwind: break
        }
        switch label.kind {
        case .unwind, .unwindInsideFrame: unwindSize = max(unwindSize, label.size)
        default: symbolSize = max(symbolSize, label.size)
        }
    }
}
