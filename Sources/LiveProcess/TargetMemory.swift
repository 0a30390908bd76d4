import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

extension TargetProcess {
    /// `count` bytes from `address`. Throws `unreadable` where any of them cannot
    /// be read. At most 1 GiB, since lengths often come from the target itself.
    public func read(
        _ address: RemoteAddress, count: Int
    ) throws(LiveProcessError) -> [UInt8] {
        guard count >= 0, count <= 1 << 30,
            let range = AddressRange(start: address, count: UInt64(count))
        else {
            throw .malformed(
                id, place: "a length to read at \(address)", rule: "not a plausible length",
                value: UInt64(bitPattern: Int64(count)))
        }
        var failure: Errno?
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            guard let base = buffer.baseAddress, count > 0 else { return }
            let result = unsafe clinux_read_memory(member.rawValue, address.rawValue, base, count)
            if result < 0 { failure = Errno(rawValue: Int32(-result)) }
            filled = max(0, Int(result))
        }
        if bytes.count == count { return bytes }
        return try readThroughFile(range, bytes, failure)
    }

    /// The rest of a read that process_vm_readv(2) refuses: memory that is mapped
    /// without the permission to read, or a kernel that forbids the call.
    private func readThroughFile(
        _ range: AddressRange<RemoteAddress>, _ start: [UInt8], _ failure: Errno?
    ) throws(LiveProcessError) -> [UInt8] {
        let file = try memory()
        let missing = Int(range.count) - start.count
        do {
            let rest = try file.read(
                at: range.start.rawValue + UInt64(start.count), count: missing)
            if rest.count == missing { return start + rest }
        } catch {
            throw .unreadable(id, range: range, error)
        }
        guard isAlive else { throw .ended(id) }
        try requireSameProgram()
        throw .unreadable(id, range: range, failure ?? .badAddress)
    }

    /// Reads as many words as `words` has room for, starting at `address`, and
    /// returns how many could be read. Allocates nothing.
    public func readWords(at address: RemoteAddress, into words: inout [UInt64]) -> Int {
        let room = words.count
        return readWords(at: address, count: room, into: &words)
    }

    /// Reads `count` words, at most the room in `words`, starting at `address`.
    /// Returns how many could be read: fewer where the memory ends. Allocates nothing.
    public func readWords(
        at address: RemoteAddress, count: Int, into words: inout [UInt64]
    ) -> Int {
        let wanted = max(0, min(count, words.count))
        let result = unsafe words.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress, wanted > 0 else { return 0 }
            return unsafe clinux_read_memory(member.rawValue, address.rawValue, base, wanted * 8)
        }
        return max(0, Int(result)) / 8
    }

    /// The bytes of many ranges in one go, in the order given; much cheaper than
    /// one read each. Throws `unreadable` with the first range that fails.
    public func read(
        _ ranges: [AddressRange<RemoteAddress>]
    ) throws(LiveProcessError) -> [[UInt8]] {
        var results: [[UInt8]] = []
        results.reserveCapacity(ranges.count)
        // The kernel takes 1,024 ranges at a time (UIO_MAXIOV).
        for start in stride(from: 0, to: ranges.count, by: 1024) {
            results += try readBatch(ranges[start..<min(start + 1024, ranges.count)])
        }
        return results
    }

    private func readBatch(
        _ ranges: ArraySlice<AddressRange<RemoteAddress>>
    ) throws(LiveProcessError) -> [[UInt8]] {
        let total = ranges.reduce(0 as UInt64) { $0 &+ min($1.count, 1 << 32) }
        guard total <= 1 << 30 else {
            throw .malformed(
                id, place: "ranges to read", rule: "more than 1 GiB in all", value: total)
        }
        let vector = ranges.map { clinux_range(address: $0.start.rawValue, count: $0.count) }
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Int(total)) { buffer, filled in
            guard let base = buffer.baseAddress, total > 0 else { return }
            let result = unsafe clinux_read_ranges(
                member.rawValue, vector, UInt(vector.count), base, Int(total))
            filled = max(0, Int(result))
        }
        var position = 0
        var results: [[UInt8]] = []
        for range in ranges {
            let count = Int(range.count)
            // What the batch did not reach says by itself why it cannot be read.
            results.append(
                position + count <= bytes.count
                    ? Array(bytes[position..<(position + count)])
                    : try read(range.start, count: count))
            position += count
        }
        return results
    }

    /// A string that ends with a zero byte, without it; nil where there is none
    /// within `limit` bytes.
    public func readCString(
        _ address: RemoteAddress, limit: Int = 4096
    ) throws(LiveProcessError) -> String? {
        var text: [UInt8] = []
        var position = address
        while text.count < limit {
            // Up to the end of the page: what lies behind may not be mapped.
            let room = min(limit - text.count, 4096 - Int(position.rawValue % 4096))
            let piece = try read(position, count: room)
            if let end = piece.firstIndex(of: 0) {
                return String(decoding: text + piece[..<end], as: UTF8.self)
            }
            text += piece
            guard let next = position.advanced(by: UInt64(room)) else { return nil }
            position = next
        }
        return nil
    }
}
