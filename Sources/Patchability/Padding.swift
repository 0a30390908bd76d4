import CDecoder
import ELFImage

/// Finds the bytes between functions that nobody executes.
///
/// Only nops and int3 behind an instruction that never falls through count, up to
/// the next label or whatever else stands there: not the nops that align a loop, and
/// not zeros, which may be somebody's data. Whether a branch or a pointer
/// leads there all the same is the business of ``ReferenceSearch``.
struct PaddingFinder {
    let code: CodeMap
    let rows: [FunctionRow]
    /// Every address at which a label stands, ascending.
    let boundaries: [UInt64]

    /// The padding that holds an island and overlaps one of `windows`, which ascend;
    /// ascending too.
    func padding(near windows: [Range<UInt64>]) -> [Range<UInt64>] {
        var found: [Range<UInt64>] = []
        var window = 0
        for (gap, before) in gaps() where gap.count >= Int(Site.jumpSize) {
            while window < windows.count, windows[window].upperBound <= gap.lowerBound {
                window += 1
            }
            guard window < windows.count else { break }
            guard windows[window].overlaps(gap) else { continue }
            let padding = padding(in: gap, behind: rows[before])
            if padding.count >= Int(Site.jumpSize) { found.append(padding) }
        }
        return found
    }

    /// What lies between a function's end and the next label, with the function's
    /// number.
    private func gaps() -> [(bytes: Range<UInt64>, before: Int)] {
        var found: [(Range<UInt64>, Int)] = []
        var last = 0
        var next = 0
        for index in rows.indices where rows[index].region >= 0 {
            // A function may enclose others.
            if rows[index].end >= rows[last].end || rows[index].region != rows[last].region {
                last = index
            }
            let end = rows[last].end
            if index + 1 < rows.count, rows[index + 1].start <= end { continue }
            while next < boundaries.count, boundaries[next] < end { next += 1 }
            let limit = code.regions[Int(rows[last].region)].end
            let stop = next < boundaries.count ? min(boundaries[next], limit) : limit
            if end < stop { found.append((end..<stop, last)) }
        }
        return found
    }

    /// The padding with which `gap` starts; empty where nothing proves that it is not
    /// executed.
    private func padding(in gap: Range<UInt64>, behind row: FunctionRow) -> Range<UInt64> {
        let region = code.regions[Int(row.region)]
        var end = gap.lowerBound
        guard endsForGood(row, in: region) else { return end..<end }
        while let shape = region.shape(at: end), shape.padding,
            end + UInt64(shape.length) <= gap.upperBound
        {
            end += UInt64(shape.length)
        }
        return gap.lowerBound..<end
    }

    /// Whether control never leaves the function at its end: a call there may be one
    /// that does not return, but nothing proves it.
    private func endsForGood(_ row: FunctionRow, in region: CodeRegion) -> Bool {
        var flow: UInt8?
        let end = region.walk(from: row.start, to: row.end) { flow = $1.flow }
        guard end == row.end, let flow else { return false }
        return [CDECODER_JUMP, CDECODER_RETURN, CDECODER_STOP].contains {
            $0.rawValue == UInt32(flow)
        }
    }
}

/// Gives out islands, each byte once.
struct IslandAllocator {
    /// What is left; ascending.
    private var free: [Range<UInt64>]

    /// Takes the bytes of `padding`, which ascends, for which `isFree` holds.
    init(_ padding: [Range<UInt64>], where isFree: (UInt64) -> Bool) {
        free = []
        for gap in padding {
            var start = gap.lowerBound
            for address in gap where !isFree(address) {
                if start < address { free.append(start..<address) }
                start = address + 1
            }
            if start < gap.upperBound { free.append(start..<gap.upperBound) }
        }
    }

    /// The lowest island that a `jmp rel8` at `site` reaches; nil where none is left.
    ///
    /// Asked in the order of addresses this serves as many sites as can be served,
    /// since all reach equally far. What lies below is given up: later sites do not
    /// reach it.
    mutating func take(for site: UInt64) -> UInt64? {
        let behind = site + Site.shortJumpSize
        // Displacements of −128 to 127 (SDM vol. 2, "JMP").
        let reach = (behind > 128 ? behind - 128 : 0)...behind + 127
        for index in firstIndex(endingAfter: reach.lowerBound)..<free.count {
            guard free[index].lowerBound <= reach.upperBound else { return nil }
            var start = max(free[index].lowerBound, reach.lowerBound)
            if Site.crossesPage(start, size: Site.jumpSize) {
                start = (start | (Site.pageSize - 1)) + 1
            }
            let end = start + Site.jumpSize
            guard start <= reach.upperBound, end <= free[index].upperBound else { continue }
            free[index] = end..<free[index].upperBound
            return start
        }
        return nil
    }

    private func firstIndex(endingAfter address: UInt64) -> Int {
        var low = 0
        var high = free.count
        while low < high {
            let middle = (low + high) / 2
            if free[middle].upperBound <= address { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
