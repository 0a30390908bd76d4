import Addresses
import CDecoder
import ELFImage

/// Tells of an object's functions whether they can be called when they are
/// replaced (``OriginalCall``).
///
/// What leads back to an entry is told from an ordinary call of the function by
/// where it comes from. A direct jump from the function itself, or from a part of
/// it that stands apart, leads back; one from another function is a call at that
/// function's end. An indirect jump leads to an address that was taken: through a
/// jump table, whose entries are read; through a list of labels, which holds
/// places in the middle of the function beside its entry; or through a pointer
/// to a function, which is a call. A jump of which none of these can be seen is
/// unresolved.
public struct OriginalCalls: ~Copyable {
    /// So many functions may share code.
    private static let partLimit = 64

    /// What is found out once, for all functions.
    struct Knowledge: Sendable {
        let catalog: FunctionCatalog
        fileprivate let tables: JumpTables
        /// Where jumps of parts that stand apart lead to, and one that does, in the
        /// order of the targets.
        fileprivate let fromFragments: [(target: UInt64, from: UInt64)]
        /// Words near the entry of a function to which lists of labels lead, and the
        /// list's place.
        fileprivate let labels: [UInt64: UInt64]
    }

    let knowledge: Knowledge
    private let decoder: Decoder

    public init(_ catalog: FunctionCatalog) throws(CatalogError) {
        try self.init(Knowledge(of: catalog))
    }

    /// For another thread, since a decoder serves one.
    init(_ knowledge: Knowledge) throws(CatalogError) {
        self.knowledge = knowledge
        do throws(DecoderUnavailable) {
            decoder = try Decoder()
        } catch {
            throw .decoderUnavailable
        }
    }

    var catalog: FunctionCatalog { knowledge.catalog }
    /// The jump of a part that stands apart to the lowest address in `range`.
    private borrowing func jumpOfFragment(
        to range: Range<UInt64>
    ) -> (target: UInt64, from: UInt64)? {
        let fromFragments = knowledge.fromFragments
        var low = 0
        var high = fromFragments.count
        while low < high {
            let middle = (low + high) / 2
            if fromFragments[middle].target < range.lowerBound {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low < fromFragments.count && range.contains(fromFragments[low].target)
            ? fromFragments[low] : nil
    }

    /// Whether the function can be called.
    public borrowing func verdict(of record: FunctionRecord) -> OriginalCall {
        verdict(ofFunction: record.index)
    }

    /// Whether the function of that number in the catalog can be called.
    borrowing func verdict(ofFunction index: Int) -> OriginalCall {
        switch catalog.verdict(of: index) {
        case .unpatchable(let refusal): return .refused(.unpatchable(refusal))
        case .patchable(let site):
            do throws(OriginalRefusal) {
                try check(index, site)
                return .callable
            } catch {
                return .refused(error)
            }
        }
    }

    private borrowing func check(_ index: Int, _ site: Site) throws(OriginalRefusal) {
        let row = catalog.rows[index]
        guard let range = site.range, let region = catalog.code.region(of: row.start) else {
            throw .undecodable(at: site.address)
        }
        let entry = EntryTarget(
            start: row.start, end: range.end.rawValue,
            moved: try moved(range, in: region))
        if let (target, from) = jumpOfFragment(to: entry.range) {
            throw .jumpsToEntry(from: place(from), target: LinkAddress(rawValue: target))
        }
        let parts = try parts(of: index, entry)
        guard let jump = parts.lazy.compactMap({ $0.indirectJumps.first }).first else { return }
        for target in entry.range {
            guard let list = knowledge.labels[target] else { continue }
            throw .labelsEntry(
                at: LinkAddress(rawValue: list), target: LinkAddress(rawValue: target))
        }
        try checkAddressesTaken(by: parts, usedAt: jump.address, entry)
        for part in parts { try checkIndirectJumps(of: part) }
    }

    /// How far the instructions that are moved reach.
    private borrowing func moved(
        _ site: AddressRange<LinkAddress>, in region: CodeRegion
    ) throws(OriginalRefusal) -> Range<UInt64> {
        let offset = region.offset(of: site.start.rawValue) ?? 0
        if let covered = EntryInstructions.quickLook(
            at: offset, of: region.bytes, covering: Int(site.count))
        {
            return site.start.rawValue..<site.start.rawValue + UInt64(covered)
        }
        // Two instructions of the greatest length cover any site.
        let count = min(30, region.bytes.count - offset)
        let code = region.bytes.slice(offset, count)?.array() ?? []
        do throws(MoveRefusal) {
            let entry = try EntryInstructions(code: code, covering: Int(site.count), decoder)
            return site.start.rawValue..<site.start.rawValue + UInt64(entry.covered)
        } catch {
            throw .cannotMove(error)
        }
    }

    private borrowing func place(_ address: UInt64) -> Place {
        catalog.place(LinkAddress(rawValue: address))
    }

    // MARK: - Direct jumps

    /// The function and whatever it jumps into the middle of, or that may be a
    /// part of it.
    private borrowing func parts(
        of index: Int, _ entry: EntryTarget
    ) throws(OriginalRefusal) -> [FunctionBody] {
        var rows = [index]
        var parts: [FunctionBody] = []
        while parts.count < rows.count {
            let part = FunctionBody(
                catalog.rows[rows[parts.count]], catalog.code, leadsTo: entry.range)
            parts.append(part)
            if let address = part.undecodable {
                throw .undecodable(at: LinkAddress(rawValue: address))
            }
            for jump in part.jumps {
                let target = jump.target
                if entry.isLedTo(by: target, from: jump.address) {
                    throw .jumpsToEntry(
                        from: place(jump.address), target: LinkAddress(rawValue: target))
                }
                guard !part.row.contains(target) else { continue }
                guard let other = catalog.rows.function(containing: target) else {
                    throw .leavesFunctions(
                        from: place(jump.address), target: LinkAddress(rawValue: target))
                }
                if isPart(other, enteredAt: target), !rows.contains(other) { rows.append(other) }
            }
            if part.fallsThrough, let next = catalog.rows.function(containing: part.row.end),
                !rows.contains(next)
            {
                rows.append(next)
            }
            guard rows.count <= Self.partLimit else {
                throw .tooManyParts(limit: Self.partLimit)
            }
        }
        return parts
    }

    /// Whether a jump to `target` goes on in the same function, and does not call
    /// another.
    private borrowing func isPart(_ index: Int, enteredAt target: UInt64) -> Bool {
        let row = catalog.rows[index]
        // The unwind table alone does not tell a part from a function.
        return target != row.start || row.kind == .fragment || row.kind == .unnamed
    }

    // MARK: - Indirect jumps

    private borrowing func checkAddressesTaken(
        by parts: [FunctionBody], usedAt jump: UInt64, _ entry: EntryTarget
    ) throws(OriginalRefusal) {
        let taken = parts.flatMap(\.addressesTaken)
        let limits = taken.map(\.target).sorted()
        for (from, target) in taken {
            if entry.range.contains(target) {
                throw .takesEntry(by: place(from), target: LinkAddress(rawValue: target))
            }
            // A table ends where the function's next one starts.
            let limit = limits.first { $0 > target } ?? .max
            let goals = knowledge.tables.entries(ofTableAt: target, limit: limit)
            guard goals.count < JumpTables.entryLimit else {
                throw .unresolvedJump(at: place(jump))
            }
            for (number, goal) in goals.enumerated() where entry.range.contains(goal) {
                throw .tableToEntry(
                    table: LinkAddress(rawValue: target), entry: number, usedBy: place(jump),
                    target: LinkAddress(rawValue: goal))
            }
        }
    }

    private borrowing func checkIndirectJumps(of part: FunctionBody) throws(OriginalRefusal) {
        for jump in part.indirectJumps {
            switch JumpOrigin.find(jump, in: part, decoder) {
            case .pointer: break
            case .table where !part.addressesTaken.isEmpty: break
            case .table, .computed: throw .unresolvedJump(at: place(jump.address))
            }
        }
    }
}

extension OriginalCalls.Knowledge {
    fileprivate init(of catalog: FunctionCatalog) throws(CatalogError) {
        let data: [CodeRegion]
        var lists = LabelLists(catalog)
        do throws(ELFError) {
            data = try catalog.image.initialData()
            try lists.search(data)
        } catch {
            throw .elf(error)
        }
        self.catalog = catalog
        tables = JumpTables(of: catalog.code, data)
        labels = lists.found
        fromFragments = Self.jumps(ofFragmentsIn: catalog, tables)
    }

    private static func jumps(
        ofFragmentsIn catalog: FunctionCatalog, _ tables: JumpTables
    ) -> [(target: UInt64, from: UInt64)] {
        var jumps: [UInt64: UInt64] = [:]
        for row in catalog.rows where row.kind == .fragment {
            let body = FunctionBody(row, catalog.code)
            for jump in body.jumps { jumps[jump.target] = jump.address }
            guard let jump = body.indirectJumps.first else { continue }
            for (_, table) in body.addressesTaken {
                for target in tables.entries(ofTableAt: table) { jumps[target] = jump.address }
            }
        }
        return jumps.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
}

/// The bytes to which nothing in a function may lead.
private struct EntryTarget {
    /// From the function's first byte to the site's end.
    let range: Range<UInt64>
    /// The instructions that are moved, among which jumps stay.
    let moved: Range<UInt64>

    init(start: UInt64, end: UInt64, moved: Range<UInt64>) {
        range = start..<max(start, end)
        self.moved = moved
    }

    func isLedTo(by target: UInt64, from place: UInt64) -> Bool {
        range.contains(target) && !(moved.contains(target) && moved.contains(place))
    }
}
