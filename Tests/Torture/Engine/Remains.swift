import Addresses
import Glibc
import LiveProcess
import PatchLinker
import Switchover
import SystemPackage
import TestSupport

/// A process seen from outside: what has been left in it.
public struct Remains {
    private let process: TargetProcess
    /// All its code as it was before anything was done to it.
    private let code: [(start: RemoteAddress, bytes: [UInt8])]

    /// To be made before anything is done to the process.
    public init(of pid: Int32) throws {
        let process = try TargetProcess.find(ProcessID(rawValue: pid))
        self.process = process
        // The kernel's page at the end of the address space cannot be read.
        code = try process.memoryMap().regions
            .filter { $0.isExecutable && $0.path != "[vsyscall]" }
            .map { region in
                let count = Int(region.range.count)
                return (
                    start: region.range.start,
                    bytes: try process.read(region.range.start, count: count)
                )
            }
    }

    /// No thread may stand in a tracing stop when its tracer has gone.
    public func expectNoTracedThread() throws {
        let tasks = FilePath("/proc/\(process.id)/task")
        for thread in try tasks.entries() {
            // A thread may end meanwhile.
            guard let bytes = try? tasks.appending("\(thread)/stat").bytes() else { continue }
            let text = String(decoding: bytes, as: UTF8.self)
            guard let end = text.lastIndex(of: ")") else { continue }
            if text[end...].dropFirst(2).first == "t" {
                throw Violation(.hang, "thread \(thread) stands in a tracing stop")
            }
        }
    }

    /// Whether a stub of a remote call is left, in which a thread may be.
    func hasStub() throws -> Bool { try process.hasAbandonedStubs() }

    /// Checks that exactly these patches are switched in, and that nothing else of
    /// anything that was done is left.
    public func expectClean(_ names: Set<String>) throws {
        guard try !hasStub() else { throw Violation(.leftover, "a stub of a remote call") }
        let patches = try Switchover.status(of: process)
        let states = patches.map { "\($0.record.name): \($0.state)" }
        guard patches.allSatisfy({ $0.state == .applied || $0.state == .reverted }),
            patches.filter({ $0.state == .applied }).map(\.record.name).sorted() == names.sorted()
        else { throw Violation(.leftover, "\(states) where \(names.sorted()) should be applied") }
        let files = try process.memoryFiles(namedWithPrefix: "hotpatch")
        guard files.isEmpty else { throw Violation(.leftover, "open: \(files)") }
        try expectNoStrayMapping(patches)
        try expectCode(patches)
    }

    private func expectNoStrayMapping(_ patches: [AppliedPatch]) throws {
        let payloads = patches.compactMap(\.record.extent.range)
        for region in try process.memoryMap().regions where region.path.contains("hotpatch:") {
            guard payloads.contains(where: { $0.contains(region.range) }) else {
                throw Violation(.leftover, "mapped: \(region.range) \(region.path)")
            }
        }
    }

    /// Every byte of code is as it was, but for the jumps of what is applied.
    private func expectCode(_ patches: [AppliedPatch]) throws {
        var jumps: [(place: RemoteAddress, bytes: [UInt8])] = []
        for patch in patches where patch.state == .applied {
            let covered = Set(patch.covered.map(\.symbol))
            for detour in patch.record.detours where !covered.contains(detour.symbol) {
                guard let bytes = detour.bytes(leadingTo: .code(detour.entry)) else { continue }
                jumps.append((detour.site, bytes.site))
                if let island = detour.island, let jump = bytes.island {
                    jumps.append((island.address, jump))
                }
            }
        }
        for (start, before) in code {
            var expected = before
            for jump in jumps {
                guard let offset = jump.place.distance(from: start), offset < before.count else {
                    continue
                }
                expected.replaceSubrange(
                    Int(offset)..<Int(offset) + jump.bytes.count, with: jump.bytes)
            }
            let found = try process.read(start, count: before.count)
            if found == expected { continue }
            let place = zip(found, expected).enumerated().first { $0.element.0 != $0.element.1 }
            let offset = place?.offset ?? 0
            throw Violation(
                .leftover,
                "code at \(start) + \(offset): \(found[offset...].prefix(16)) in place of \(expected[offset...].prefix(16))"
            )
        }
    }
}
