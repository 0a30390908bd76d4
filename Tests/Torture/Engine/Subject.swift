import Addresses
import Glibc
import LiveProcess
import PatchLinker
import Switchover
import SystemPackage
import TestSupport

/// The victim, and what can be seen of it from outside.
public final class Subject {
    private let victim: Victim
    public let process: TargetProcess
    /// All code of the process as it was before anything was done to it.
    private let code: [(start: RemoteAddress, bytes: [UInt8])]

    public var pid: Int32 { victim.pid }

    public init(_ programs: Programs) throws {
        victim = try Victim(programs.victim)
        guard try victim.readLine() == "ready" else {
            throw Violation(.other, "the victim does not start")
        }
        let process = try TargetProcess.find(ProcessID(rawValue: victim.pid))
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

    // MARK: What it says

    /// One answer of the victim.
    struct Report {
        let versions: [Int]
        let progress: [UInt64]
        /// Which blocking calls have returned EINTR, and how often.
        let interrupted: [String: Int]
    }

    /// Asks it, and checks what must hold at all times.
    func report() throws -> Report {
        guard victim.isRunning else { throw Violation(.death, "the victim has ended") }
        let line: String
        do { line = try victim.ask("") } catch {
            let kind: Violation.Kind = victim.isRunning ? .hang : .death
            throw Violation(kind, "the victim does not answer: \(error)")
        }
        var fields: [Substring: Substring] = [:]
        for field in line.split(separator: " ") {
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { fields[parts[0]] = parts[1] }
        }
        guard fields["sums"] == "0" else { throw Violation(.sum, line) }
        guard fields["mixed"] == "0" else { throw Violation(.mix, line) }
        guard fields["unexpected"] == "0" else { throw Violation(.other, line) }
        func numbers(_ name: Substring) -> [UInt64] {
            (fields[name] ?? "").split(separator: ",").compactMap { UInt64($0) }
        }
        var interrupted: [String: Int] = [:]
        for call in (fields["interrupted"] ?? "").split(separator: ",") {
            let parts = call.split(separator: ":")
            if parts.count == 2 { interrupted[String(parts[0])] = Int(parts[1]) }
        }
        return Report(
            versions: numbers("versions").map(Int.init), progress: numbers("progress"),
            interrupted: interrupted)
    }

    /// Waits until every counter has moved on since `before`.
    func expectProgress(since before: Report) throws -> Report {
        let deadline = ContinuousClock.now + .seconds(30)
        while true {
            let now = try report()
            if zip(now.progress, before.progress).allSatisfy(>) { return now }
            guard ContinuousClock.now < deadline else {
                throw Violation(.hang, "\(now.progress) after \(before.progress) 30 s before")
            }
            usleep(500)
        }
    }

    /// No thread may stand in a tracing stop when its tracer has gone.
    func expectNoTracedThread() throws {
        let tasks = FilePath("/proc/\(pid)/task")
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

    // MARK: What is in it

    /// Whether a stub of a remote call is left, in which a thread may be.
    func hasStub() throws -> Bool { try process.hasAbandonedStubs() }

    /// Checks that exactly these patches are switched in, and that nothing else of
    /// anything that was done is left.
    func expectClean(_ names: Set<String>) throws {
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

extension FilePath {
    /// The names of what a folder holds.
    fileprivate func entries() throws -> [String] {
        guard let folder = unsafe opendir(string) else { throw Errno(rawValue: errno) }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }
}
