import CDecoder
import ELFImage
import Threads

/// Runs the search of CDecoder over a region.
struct CandidateFinder {
    let marks: AddressMarks
    /// The read-only data that tables of relative addresses lie in.
    let tables: [CodeRegion]

    /// The bytes that one thread searches at a time. A multiple of the sixteen that are
    /// looked at together, so that the result is the same as in one piece.
    private static let share = 1 << 20

    /// All that may lead to a marked address, in the order of the code.
    func candidates(in region: CodeRegion) -> [cdecoder_found] {
        unsafe region.bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return [] }
            return unsafe withTables { tables in
                // Searched by several threads, and changed by none.
                nonisolated(unsafe) let search = unsafe cdecoder_search(
                    code: cdecoder_region(
                        bytes: base.assumingMemoryBound(to: UInt8.self), count: bytes.count,
                        address: region.start),
                    tables: tables.baseAddress, table_count: tables.count,
                    marks: UnsafePointer(marks.words), marks_address: marks.low,
                    marks_count: marks.count, residues: marks.residues)
                let starts = Array(stride(from: 0, to: bytes.count, by: Self.share))
                return WorkerThreads.map(starts) { start in
                    unsafe Self.run(search, start..<min(start + Self.share, search.code.count))
                }.flatMap(\.self)
            }
        }
    }

    private static func run(_ search: cdecoder_search, _ part: Range<Int>) -> [cdecoder_found] {
        var found: [cdecoder_found] = []
        var position = part.lowerBound
        unsafe withUnsafePointer(to: search) { search in
            unsafe withUnsafeTemporaryAllocation(of: cdecoder_found.self, capacity: 1024) {
                guard let start = $0.baseAddress else { return }
                while position < part.upperBound {
                    let count = unsafe cdecoder_find(
                        search, &position, part.upperBound, start, $0.count)
                    unsafe found.append(contentsOf: $0[..<count])
                }
            }
        }
        return found
    }

    /// Calls `body` with the tables' bytes, which live as long as the call.
    private func withTables<Result>(
        _ body: (UnsafeBufferPointer<cdecoder_region>) -> Result
    ) -> Result {
        let regions = unsafe tables.compactMap { table in
            unsafe table.bytes.withUnsafeBytes { bytes in
                unsafe bytes.baseAddress.map {
                    unsafe cdecoder_region(
                        bytes: $0.assumingMemoryBound(to: UInt8.self), count: bytes.count,
                        address: table.start)
                }
            }
        }
        // The views in `tables` own the memory.
        defer { withExtendedLifetime(tables) {} }
        return unsafe regions.withUnsafeBufferPointer { unsafe body($0) }
    }
}
