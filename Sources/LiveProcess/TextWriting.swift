import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

extension TargetProcess {
    /// Writes the bytes that are there already back to the pages of these ranges,
    /// so that the process has copies of its own of them, and a later write costs
    /// no page fault (35 to 60 µs) while its threads stand still.
    ///
    /// Returns false where this kernel lets only a tracer write (`proc_mem.force_override`):
    /// the later write works all the same.
    public func prefault(text ranges: [AddressRange<RemoteAddress>]) throws(LiveProcessError)
        -> Bool
    {
        let file = try memory()
        for range in ranges where !range.isEmpty {
            var page = range.start.rawValue & ~4095
            while page < range.end.rawValue {
                // One byte is enough, and one byte cannot be torn.
                let address = RemoteAddress(rawValue: max(page, range.start.rawValue))
                let byte = try read(address, count: 1)
                do throws(Errno) {
                    try pwriteAll(file, byte, at: address)
                } catch {
                    return false
                }
                let (next, overflow) = page.addingReportingOverflow(4096)
                if overflow { break }
                page = next
            }
        }
        return true
    }

    /// Writes to memory that the process itself does not use meanwhile, whatever
    /// its protection, and reads back.
    ///
    /// Throws `unwritable`, `writeNotSeen`, `ended` or `programChanged`.
    public func write(
        _ bytes: [UInt8], at address: RemoteAddress
    ) throws(LiveProcessError) {
        try writeText(bytes, at: address, tracee: nil)
    }

    /// Writes to memory whatever its protection, and reads back. `tracee` is a
    /// stopped thread of the process, by which the kernel takes the write where
    /// it refuses the file.
    func writeText(
        _ bytes: [UInt8], at address: RemoteAddress, tracee: Tracee?
    ) throws(LiveProcessError) {
        guard let range = AddressRange(start: address, count: UInt64(bytes.count)) else {
            throw .malformed(
                id, place: "an address to write to", rule: "passes the end of memory",
                value: address.rawValue)
        }
        let file = try memory()
        let seen: [UInt8]
        do throws(Errno) {
            do throws(Errno) {
                try pwriteAll(file, bytes, at: address)
            } catch {
                guard let tracee else { throw error }
                try poke(bytes, at: address, by: tracee, or: error)
            }
            seen = try file.read(at: address.rawValue, count: bytes.count)
        } catch {
            throw .unwritable(id, range: range, error)
        }
        // Of memory that nobody has any more, the kernel reads nothing and says that all
        // is well (fs/proc/base.c, mem_rw).
        if seen.isEmpty, !bytes.isEmpty { throw cause(of: .ended(id)) }
        if seen != bytes { throw .writeNotSeen(id, range: range) }
    }

    /// One pwrite: within a page it is not split, not even by a SIGKILL.
    private func pwriteAll(
        _ file: Descriptor, _ bytes: [UInt8], at address: RemoteAddress
    ) throws(Errno) {
        let written = unsafe bytes.withUnsafeBytes { buffer in
            unsafe pwrite(
                file.rawValue, buffer.baseAddress, buffer.count,
                off_t(truncatingIfNeeded: address.rawValue))
        }
        if written < 0 { throw Errno(rawValue: errno) }
        // 0: the program that the descriptor belongs to is no more.
        if written != bytes.count { throw written == 0 ? .noSuchProcess : .ioError }
    }

    /// The same through PTRACE_POKETEXT, where the change lies in a single aligned
    /// word: a tool that is killed between two would leave half of the bytes, and
    /// `refusal` is thrown. What surrounds them in the word is read before.
    private func poke(
        _ bytes: [UInt8], at address: RemoteAddress, by tracee: Tracee, or refusal: Errno
    ) throws(Errno) {
        var changes: [(word: UInt64, value: UInt64)] = []
        var word = address.rawValue & ~7
        let end = address.rawValue + UInt64(bytes.count)
        while word < end {
            var value: UInt64 = 0
            let peeked = unsafe clinux_peek(tracee.id, word, &value)
            if peeked < 0 { throw Errno(rawValue: -peeked) }
            let before = value
            for lane in 0..<8 {
                let position = word + UInt64(lane)
                guard position >= address.rawValue, position < end else { continue }
                let shift = UInt64(lane) * 8
                value &= ~(0xff << shift)
                value |= UInt64(bytes[Int(position - address.rawValue)]) << shift
            }
            if value != before { changes.append((word, value)) }
            word += 8
        }
        guard changes.count <= 1 else { throw refusal }
        for change in changes {
            let poked = clinux_poke(tracee.id, change.word, change.value)
            if poked < 0 { throw Errno(rawValue: -poked) }
        }
    }
}
