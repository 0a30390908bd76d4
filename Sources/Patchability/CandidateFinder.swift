import CDecoder
import ELFImage

/// Runs the search of CDecoder over a region.
struct CandidateFinder {
    let marks: AddressMarks
    /// The read-only data that tables of relative addresses lie in.
    let tables: [CodeRegion]

    /// All that may lead to a marked address, in the order of the code.
    func candidates(in region: CodeRegion) -> [cdecoder_found] {
        unsafe region.bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return [] }
            return unsafe withTables { tables in
                var search = unsafe cdecoder_search(
                    code: cdecoder_region(
                        bytes: base.assumingMemoryBound(to: UInt8.self), count: bytes.count,
                        address: region.start),
                    tables: tables.baseAddress, table_count: tables.count,
                    marks: UnsafePointer(marks.words), marks_address: marks.low,
                    marks_count: marks.count, residues: marks.residues)
                return unsafe run(&search)
            }
        }
    }

    private func run(_ search: inout cdecoder_search) -> [cdecoder_found] {
        var found: [cdecoder_found] = []
        var position = 0
        let end = unsafe search.code.count
        unsafe withUnsafeTemporaryAllocation(of: cdecoder_found.self, capacity: 1024) { buffer in
            guard let start = buffer.baseAddress else { return }
            while position < end {
                let count = unsafe cdecoder_find(&search, &position, end, start, buffer.count)
                unsafe found.append(contentsOf: buffer[..<count])
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
