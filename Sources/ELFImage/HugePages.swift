import Glibc

/// Memory that is large and soon filled is served in huge pages: a fault for each
/// page of 4 KiB takes longer than to read what it is filled with.
package enum HugePages {
    /// The size of a huge page; less is not worth asking for.
    private static let least = 2 << 20

    /// Asks for them. Where the kernel has none, the memory is as it was.
    package static func prefer(for memory: UnsafeMutableRawBufferPointer) {
        guard memory.count >= least, let base = memory.baseAddress else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        // Whole pages inside: what stands beside them is somebody else's.
        let start = Int(bitPattern: base)
        let first = (start + page - 1) / page * page
        let end = (start + memory.count) / page * page
        guard first < end else { return }
        _ = unsafe madvise(base + (first - start), end - first, MADV_HUGEPAGE)
    }
}
