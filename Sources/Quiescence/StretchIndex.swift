/// Finds the range that an address lies in, among hundreds: every word of every
/// stack is looked up while threads stand still, and nearly none lies in any.
struct StretchIndex: Sendable {
    struct Element {
        let addresses: ClosedRange<UInt64>
        /// Whether it is found before those that it overlaps.
        let comesFirst: Bool
    }

    /// Where the answer changes, ascending, and the element from there on; -1 for
    /// none. Empty for no elements.
    private let starts: [UInt64]
    private let owners: [Int32]
    /// The first address of any element, and the number of bytes to the last. A
    /// loop that keeps these two settles most words at a quarter of a nanosecond.
    let low: UInt64
    let span: UInt64
    /// The same of the clusters that the elements lie in, as a program and a library
    /// do, which are far apart, with heaps and other libraries in between.
    private let clusterStarts: SIMD4<UInt64>
    private let clusterSpans: SIMD4<UInt64>

    init(_ elements: [Element]) {
        (starts, owners) = Self.segments(of: elements)
        let clusters = Self.clusters(of: elements.map(\.addresses))
        var clusterStarts = SIMD4<UInt64>(repeating: .max)
        var clusterSpans = SIMD4<UInt64>(repeating: 0)
        for (lane, cluster) in clusters.enumerated() {
            clusterStarts[lane] = cluster.lowerBound
            clusterSpans[lane] = cluster.upperBound - cluster.lowerBound
        }
        self.clusterStarts = clusterStarts
        self.clusterSpans = clusterSpans
        low = clusters.first?.lowerBound ?? .max
        span = (clusters.last?.upperBound ?? .max) - low
    }

    /// The index of the element that `address` lies in, or nil.
    func element(at address: UInt64) -> Int? {
        guard any((SIMD4(repeating: address) &- clusterStarts) .<= clusterSpans) else {
            return nil
        }
        // The number of segments that start at or before the address.
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, owners[low - 1] >= 0 else { return nil }
        return Int(owners[low - 1])
    }

    /// Cuts overlapping elements into segments that do not overlap.
    private static func segments(of elements: [Element]) -> (starts: [UInt64], owners: [Int32]) {
        // Where a segment may start: an element does, or one has just ended. The end
        // of one that reaches the last address starts nothing.
        let bounds = Set(
            elements.flatMap { element in
                [element.addresses.lowerBound]
                    + (element.addresses.upperBound == .max
                        ? [] : [element.addresses.upperBound + 1])
            }
        ).sorted()
        let order = elements.indices.sorted {
            elements[$0].addresses.lowerBound < elements[$1].addresses.lowerBound
        }
        var starts: [UInt64] = []
        var owners: [Int32] = []
        var open: [Int] = []
        var next = 0
        for bound in bounds {
            open.removeAll { elements[$0].addresses.upperBound < bound }
            while next < order.count, elements[order[next]].addresses.lowerBound <= bound {
                open.append(order[next])
                next += 1
            }
            let owner = open.first { elements[$0].comesFirst } ?? open.last
            starts.append(bound)
            owners.append(owner.map { Int32($0) } ?? -1)
        }
        return (starts, owners)
    }

    /// The elements in at most four clusters, by the widest gaps between them.
    private static func clusters(of ranges: [ClosedRange<UInt64>]) -> [ClosedRange<UInt64>] {
        var merged: [ClosedRange<UInt64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, range.lowerBound <= last.upperBound {
                merged[merged.count - 1] =
                    last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        let widest = merged.indices.dropFirst().sorted {
            gap(before: $0, merged) > gap(before: $1, merged)
        }.prefix(SIMD4<UInt64>.scalarCount - 1)
        var clusters: [ClosedRange<UInt64>] = []
        for (index, range) in merged.enumerated() {
            if let last = clusters.last, !widest.contains(index) {
                clusters[clusters.count - 1] = last.lowerBound...range.upperBound
            } else {
                clusters.append(range)
            }
        }
        return clusters
    }

    private static func gap(before index: Int, _ ranges: [ClosedRange<UInt64>]) -> UInt64 {
        ranges[index].lowerBound - ranges[index - 1].upperBound
    }
}
