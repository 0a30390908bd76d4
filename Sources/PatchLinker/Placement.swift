import Addresses
import LiveProcess

/// Where in a target's address space a payload may go: near enough to the object
/// that every jump and every rip-relative operand reaches, and clear of what the
/// target will want to grow into.
public struct Placement {
    /// Jumps reach 2 GiB less one byte; a margin keeps operands with addends in reach.
    static let reach: UInt64 = (1 << 31) - (1 << 20)
    /// Addresses below stay free, so that null pointers with offsets still fault.
    static let lowest = RemoteAddress(rawValue: 1 << 20)
    /// The end of the user half of the address space with four-level page tables.
    static let highest = RemoteAddress(rawValue: 0x7fff_ffff_f000)
    /// Room above the program, where `brk` grows and where the kernel puts its
    /// randomised start (at most 32 MiB away, or 1 GiB with newer kernels).
    static let heapRoom: UInt64 = 5 << 28
    /// Room below the main thread's stack; the usual limit is 8 MiB.
    static let stackRoom: UInt64 = 1 << 28

    /// The start of the free range of `size` bytes nearest to `object`.
    ///
    /// - Parameters:
    ///   - map: the target's mappings, in ascending order as the kernel lists them.
    ///   - object: from the object's first to its last mapped byte.
    ///   - program: the same of the program itself, above which the heap starts.
    ///   - excluded: starts that were tried and turned out to be taken.
    /// - Returns: a page-aligned address, or nil where nothing in reach is free.
    public static func start(
        forSize size: UInt64, near object: AddressRange<RemoteAddress>,
        program: AddressRange<RemoteAddress>?, in map: MemoryMap,
        excluding excluded: Set<RemoteAddress> = []
    ) -> RemoteAddress? {
        let page = PayloadExtent.pageSize
        let window = (
            low: max(lowest.rawValue, object.end.rawValue.subtractingClamped(reach)),
            high: min(highest.rawValue, object.start.rawValue.addingClamped(reach))
        )
        var best: (distance: UInt64, start: UInt64)?
        for gap in gaps(in: map, program: program) {
            let low = (max(gap.low, window.low) + page - 1) & ~(page - 1)
            let high = min(gap.high, window.high) & ~(page - 1)
            guard high > low, high - low >= size else { continue }
            // The end of the gap that faces the object, then one page at a time
            // away from starts that were taken.
            var start = high <= object.start.rawValue ? high - size : low
            let step = high <= object.start.rawValue ? 0 &- size : size
            while excluded.contains(RemoteAddress(rawValue: start)) { start &+= step }
            guard start >= low, start <= high - size else { continue }
            let distance =
                start < object.start.rawValue
                ? object.start.rawValue - start : start - min(start, object.end.rawValue)
            if best.map({ distance < $0.distance }) ?? true { best = (distance, start) }
        }
        return best.map { RemoteAddress(rawValue: $0.start) }
    }

    /// What no mapping covers, less the room that heap and stack keep.
    private static func gaps(
        in map: MemoryMap, program: AddressRange<RemoteAddress>?
    ) -> [(low: UInt64, high: UInt64)] {
        var taken = map.regions.map { region in
            (
                low: region.path == "[stack]"
                    ? region.range.start.rawValue.subtractingClamped(stackRoom)
                    : region.range.start.rawValue,
                high: region.path == "[heap]"
                    ? region.range.end.rawValue.addingClamped(heapRoom)
                    : region.range.end.rawValue
            )
        }
        if let program {
            taken.append(
                (program.end.rawValue, program.end.rawValue.addingClamped(heapRoom)))
        }
        taken.sort { $0.low < $1.low }
        var gaps: [(low: UInt64, high: UInt64)] = []
        var low: UInt64 = 0
        for range in taken {
            if range.low > low { gaps.append((low, range.low)) }
            low = max(low, range.high)
        }
        if low < highest.rawValue { gaps.append((low, highest.rawValue)) }
        return gaps
    }
}

extension UInt64 {
    fileprivate func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }

    fileprivate func subtractingClamped(_ other: UInt64) -> UInt64 {
        self > other ? self - other : 0
    }
}
