import CEntries
import Glibc
import SystemPackage
import TestSupport

/// Counts how often a process runs into some addresses, by the processor's debug
/// registers, of which there are four: nothing is written to the process.
final class EntryCounter {
    private let descriptors: [[Int32]]

    /// Counts from now on, in all threads that there are and come. Where a thread ends
    /// meanwhile, nothing of it is counted.
    ///
    /// - Parameter addresses: four at most.
    init(_ addresses: [UInt64], in process: Int32) throws {
        let threads = try Command.run("ls", ["/proc/\(process)/task"]).output
            .split(separator: "\n").compactMap { Int32($0) }
        var all: [[Int32]] = []
        for address in addresses {
            var opened: [Int32] = []
            for thread in threads {
                let descriptor = centries_open(thread, address)
                if descriptor == -ESRCH { continue }
                guard descriptor >= 0 else {
                    (all + [opened]).joined().forEach { close($0) }
                    throw TestSupportError(
                        "cannot count entries in thread \(thread): error \(-descriptor)")
                }
                opened.append(descriptor)
            }
            all.append(opened)
        }
        descriptors = all
    }

    deinit { descriptors.joined().forEach { close($0) } }

    /// How often each address was run into so far.
    func counts() throws -> [Int64] {
        try descriptors.map { opened in
            try opened.reduce(0) { sum, descriptor in
                let count = centries_read(descriptor)
                guard count >= 0 else {
                    throw TestSupportError("cannot read a counter: error \(-count)")
                }
                return sum + count
            }
        }
    }
}
