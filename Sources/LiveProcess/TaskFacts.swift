/// What /proc/PID/stat says of a process or a thread (proc_pid_stat(5)), as far
/// as it is used here.
struct TaskStat {
    /// The program's name as the kernel cuts it, at most 15 bytes.
    let name: String
    let state: TaskState
    let flags: UInt64
    /// Of the whole process; a dead first thread counts until the last has ended.
    let threadCount: UInt64
    /// Clock ticks after boot.
    let startTime: UInt64

    /// Nothing of the process runs any more, though its parent has not noticed. A
    /// first thread may end before the others.
    var isZombieProcess: Bool { state == .dead && threadCount <= 1 }

    /// PF_KTHREAD (include/linux/sched.h).
    /// A worker of io_uring or vhost: a thread of the process that runs in the
    /// kernel only (PF_IO_WORKER, PF_USER_WORKER, include/linux/sched.h).
    var isKernelWorker: Bool { flags & (0x10 | 0x4000) != 0 }
    var isKernelThread: Bool { flags & 0x0020_0000 != 0 }

    init?(parsing text: [UInt8]) {
        // The name may hold anything, spaces and parentheses included.
        guard let open = text.firstIndex(of: UInt8(ascii: "(")),
            let close = text.lastIndex(of: UInt8(ascii: ")")), open < close
        else { return nil }
        name = String(decoding: text[(open + 1)..<close], as: UTF8.self)
        let fields = text[(close + 1)...].split(separator: UInt8(ascii: " "))
        // Behind the name: field 3 is the state, 9 the flags, 20 the number of
        // threads, 22 the start.
        guard fields.count >= 20, let letter = fields[0].first,
            let flags = UInt64(String(decoding: fields[6], as: UTF8.self)),
            let count = UInt64(String(decoding: fields[17], as: UTF8.self)),
            let start = UInt64(String(decoding: fields[19], as: UTF8.self))
        else { return nil }
        state = TaskState(letter: letter)
        self.flags = flags
        threadCount = count
        startTime = start
    }
}

/// What a task does, by the letter that the kernel shows.
public enum TaskState: Sendable {
    /// On a processor, or ready to be.
    case running
    /// Asleep in the kernel where a signal would wake it.
    case sleeping
    /// Asleep where nothing but its event wakes it (D).
    case uninterruptible
    /// Stopped by job control (SIGSTOP and the like).
    case stopped
    /// Stopped by its tracer.
    case traced
    /// A zombie, or about to be gone.
    case dead

    init(letter: UInt8) {
        switch letter {
        case UInt8(ascii: "R"): self = .running
        case UInt8(ascii: "D"), UInt8(ascii: "W"), UInt8(ascii: "P"): self = .uninterruptible
        case UInt8(ascii: "T"): self = .stopped
        case UInt8(ascii: "t"): self = .traced
        case UInt8(ascii: "Z"), UInt8(ascii: "X"), UInt8(ascii: "x"): self = .dead
        // S, I, and whatever a later kernel adds to sleeping.
        default: self = .sleeping
        }
    }
}

/// What /proc/PID/status says of a process at one moment (proc_pid_status(5)).
public struct ProcessFacts: Sendable {
    public let name: String
    public let state: TaskState
    /// The process that traces its first thread.
    public let tracer: ProcessID?
    /// The process that the thread belongs to, where these are facts of a thread.
    let group: ProcessID
    /// Effective user and group.
    public let userID: UInt32
    public let groupID: UInt32
    public let parent: ProcessID
    public let threadCount: Int
    /// 0 none, 1 strict, 2 a filter (prctl(2), PR_SET_SECCOMP).
    public let seccompMode: Int
    /// The signals that its first thread has blocked: signal N is bit N - 1.
    let blockedSignals: UInt64
    /// nil before Linux 5.9.
    let seccompFilterCount: UInt64?
    /// CAP_SYS_PTRACE is among its effective capabilities (capabilities(7)).
    let mayTraceAll: Bool
    /// Its core is being written, and then it ends.
    public let isDumpingCore: Bool
    /// Its numbers in the pid namespaces from ours to its own.
    public let namespaceIDs: [Int32]

    init?(parsing text: [UInt8]) {
        let values = StatusValues(text)
        func numbers(_ key: String) -> [UInt64] {
            var cursor = TextCursor(Array(values[key] ?? []))
            var found: [UInt64] = []
            while true {
                cursor.skipSpaces()
                guard let number = cursor.number() else { return found }
                found.append(number)
            }
        }
        guard let name = values["Name"], let letter = values["State"]?.first,
            let users = Self.second(numbers("Uid")), let groups = Self.second(numbers("Gid"))
        else { return nil }
        self.name = String(decoding: name, as: UTF8.self)
        state = TaskState(letter: letter)
        group = ProcessID(rawValue: Int32(truncatingIfNeeded: numbers("Tgid").first ?? 0))
        let tracerID = Int32(truncatingIfNeeded: numbers("TracerPid").first ?? 0)
        tracer = tracerID > 0 ? ProcessID(rawValue: tracerID) : nil
        userID = users
        groupID = groups
        parent = ProcessID(rawValue: Int32(truncatingIfNeeded: numbers("PPid").first ?? 0))
        threadCount = Int(truncatingIfNeeded: numbers("Threads").first ?? 0)
        seccompMode = Int(truncatingIfNeeded: numbers("Seccomp").first ?? 0)
        seccompFilterCount = numbers("Seccomp_filters").first
        func mask(_ key: String) -> UInt64? {
            var cursor = TextCursor(Array(values[key] ?? []))
            return cursor.number(radix: 16)
        }
        blockedSignals = mask("SigBlk") ?? .max
        mayTraceAll = mask("CapEff").map { $0 & 1 << 19 != 0 } ?? false
        isDumpingCore = numbers("CoreDumping").first == 1
        namespaceIDs = numbers("NSpid").map { Int32(truncatingIfNeeded: $0) }
    }

    /// The effective one of real, effective, saved and file system id.
    private static func second(_ ids: [UInt64]) -> UInt32? {
        ids.count >= 2 ? UInt32(truncatingIfNeeded: ids[1]) : nil
    }
}

/// The lines `KEY:\tVALUE` of /proc/PID/status. It is read while programs stand still:
/// so nothing is made of the fifty lines of which nothing is wanted.
private struct StatusValues {
    private let text: [UInt8]
    private var lines: [(key: Range<Int>, value: Range<Int>)] = []

    init(_ text: [UInt8]) {
        self.text = text
        lines.reserveCapacity(64)
        var start = 0
        while start < text.count {
            let end = text[start...].firstIndex(of: UInt8(ascii: "\n")) ?? text.count
            if let colon = text[start..<end].firstIndex(of: UInt8(ascii: ":")) {
                let value = text[(colon + 1)..<end].firstIndex { $0 != UInt8(ascii: "\t") } ?? end
                lines.append((start..<colon, value..<end))
            }
            start = end + 1
        }
    }

    subscript(key: String) -> ArraySlice<UInt8>? {
        lines.first { text[$0.key].elementsEqual(key.utf8) }.map { text[$0.value] }
    }
}
