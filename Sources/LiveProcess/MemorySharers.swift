import CLinuxTrace
import Glibc
import SystemPackage

/// Looks for tasks that run in the target's memory without being its threads:
/// children of vfork and posix_spawn, and clones with CLONE_VM.
struct MemorySharers {
    private let target: TargetProcess
    /// A thread of the target that has not ended: an ended one has no memory to
    /// compare with.
    private let member: ThreadID
    private let loadAverage: Descriptor
    /// The number that was given last before the search began.
    private var lastNumber: Int32

    init(of target: TargetProcess, comparing member: ThreadID) throws(Errno) {
        self.target = target
        self.member = member
        loadAverage = try Descriptor.open("/proc/loadavg")
        lastNumber = try Self.newestNumber(in: loadAverage)
    }

    /// Looks at every process of the machine. Takes about a millisecond.
    func findAmongAll() throws(Errno) -> ProcessID? {
        for process in try ProcessSearch.allProcesses()
        where process != target.id && isSharer(process.rawValue) {
            return process
        }
        return nil
    }

    /// Looks only at the numbers that were given since the last look, or since
    /// this value was made: cheap enough while the target stands still.
    mutating func findAmongNew(
        isMember: (ThreadID) -> Bool
    ) throws(Errno) -> ProcessID? {
        let newest = try newestNumber()
        if newest == lastNumber { return nil }
        // The numbers started again from the bottom, or very many were given.
        guard newest > lastNumber, newest - lastNumber < 1000 else { return try findAmongAll() }
        for number in (lastNumber + 1)...newest
        where isSharer(number) && !isMember(ThreadID(rawValue: number)) {
            return ProcessID(rawValue: number)
        }
        lastNumber = newest
        return nil
    }

    /// A process that may not be compared belongs to somebody else, and got a
    /// memory of its own when it became theirs.
    private func isSharer(_ number: Int32) -> Bool {
        clinux_compare_memory(member.rawValue, number) == 0
    }

    /// The number that was given last.
    func newestNumber() throws(Errno) -> Int32 { try Self.newestNumber(in: loadAverage) }

    /// The fifth field of /proc/loadavg: the number of the newest task
    /// (proc_loadavg(5)).
    private static func newestNumber(in file: Descriptor) throws(Errno) -> Int32 {
        let text = try file.read(at: 0, count: 128)
        let field = text.split(separator: UInt8(ascii: " ")).last ?? []
        var cursor = TextCursor(Array(field))
        guard let number = cursor.number(), let exact = Int32(exactly: number) else {
            throw .invalidArgument
        }
        return exact
    }
}
