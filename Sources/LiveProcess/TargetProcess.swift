import Addresses
import ELFImage
import Glibc
import Synchronization
import SystemPackage

/// A process that is looked at, and perhaps patched.
///
/// It is held by an open folder of /proc, which never leads to another process
/// that is given the same number later. Its memory is held by a descriptor that
/// belongs to one program: after an execve it reads and writes nothing.
public final class TargetProcess: Sendable {
    public let id: ProcessID
    /// Clock ticks after boot: with the number, the process's identity.
    public let startTime: UInt64
    /// The name that the kernel shows, at most 15 bytes.
    public let name: String

    /// The thread that the calling OS thread holds at the end of a system call, where
    /// one does: it alone makes the remote calls, and it alone can run what is
    /// written. See ``find(heldBy:)``.
    let held: HeldThread?

    /// It was found by ``find(heldBy:)``.
    public var isHeld: Bool { held != nil }

    /// /proc/PID.
    let folder: Descriptor
    /// A thread that had not ended when the process was found, mostly the first:
    /// what shares the life of the process's memory is asked of it.
    let member: ThreadID
    /// /proc/PID/task/MEMBER.
    let memberFolder: Descriptor
    /// /proc/PID/mem, or why it cannot be opened.
    private let memoryFile: Result<Descriptor, Errno>
    /// /proc/PID/auxv as it was: differs after an execve.
    private let auxiliaryBytes: [UInt8]
    /// The program was seen to be one for 64-bit x86: with another program, this value
    /// reads and writes nothing any more.
    private let isSupported = Atomic<Bool>(false)

    /// Finds a process. This takes no permission; most of what is asked of it does.
    ///
    /// Throws `noSuchProcess`, `zombie` or `kernelThread`.
    public static func find(_ id: ProcessID) throws(LiveProcessError) -> TargetProcess {
        guard id.rawValue > 0 else { throw .noSuchProcess(id) }
        let folder: Descriptor
        let stat: TaskStat?
        do throws(Errno) {
            folder = try Descriptor.open("/proc/\(id)", O_RDONLY | O_DIRECTORY)
            stat = TaskStat(parsing: try Descriptor.open("stat", in: folder.rawValue).readToEnd())
        } catch .noSuchFileOrDirectory, .noSuchProcess {
            throw .noSuchProcess(id)
        } catch {
            throw .system(id, action: "look at /proc/\(id)", error)
        }
        guard let stat else {
            throw .malformed(id, place: "/proc/\(id)/stat", rule: "not in the known form", value: 0)
        }
        // /proc lists processes only, but answers for each thread by its number too.
        if let group = threadGroup(in: folder), group != id {
            throw .threadOfProcess(ThreadID(rawValue: id.rawValue), of: group)
        }
        if stat.isZombieProcess { throw .zombie(id) }
        if stat.isKernelThread { throw .kernelThread(id, name: stat.name) }
        guard let (member, memberFolder) = findMember(of: folder) else { throw .ended(id) }
        return TargetProcess(id, stat, folder, member, memberFolder)
    }

    /// The process of a thread that the calling OS thread holds at the end of a system
    /// call (``HeldThread``). All that changes the process is done on this OS thread.
    ///
    /// Remote calls are made by the held thread, and ``withAllThreadsStopped(_:judging:rehearsing:_:)``
    /// stops no other one: what is written there must be what none of them can run yet,
    /// because the process has just been started, or because it was mapped by the
    /// very call that the thread stands at.
    ///
    /// Throws `ended`.
    public static func find(heldBy held: HeldThread) throws(LiveProcessError) -> TargetProcess {
        let id = held.process
        do throws(Errno) {
            let folder = try Descriptor.open("/proc/\(id)", O_RDONLY | O_DIRECTORY)
            // The folder of the process is that of its first thread, too.
            let member =
                held.id.rawValue == id.rawValue
                ? folder
                : try Descriptor.open(
                    "task/\(held.id)", in: folder.rawValue, O_RDONLY | O_DIRECTORY)
            guard let stat = TaskStat(parsing: try contents("stat", of: folder)) else {
                throw .invalidArgument
            }
            return TargetProcess(id, stat, folder, held.id, member, heldBy: held)
        } catch .noSuchFileOrDirectory, .noSuchProcess {
            throw .ended(id)
        } catch {
            throw .system(id, action: "look at /proc/\(id)", error)
        }
    }

    /// The process that the task of that folder belongs to.
    private static func threadGroup(in folder: Descriptor) -> ProcessID? {
        guard let text = try? contents("status", of: folder) else { return nil }
        return ProcessFacts(parsing: text)?.group
    }

    /// The name of a process or of a thread, for messages.
    static func nameOfTask(_ id: ProcessID) -> String {
        guard let text = try? Descriptor.open("/proc/\(id)/comm").readToEnd() else { return "?" }
        return String(decoding: text.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    private static func findMember(of process: Descriptor) -> (ThreadID, Descriptor)? {
        do throws(Errno) {
            var tasks = try TaskList(in: process)
            for thread in try tasks.read() {
                guard let state = tasks.state(of: thread), state != .dead else { continue }
                return (
                    thread,
                    try Descriptor.open(
                        "task/\(thread)", in: process.rawValue, O_RDONLY | O_DIRECTORY)
                )
            }
        } catch {
            // It has just ended.
            return nil
        }
        return nil
    }

    private init(
        _ id: ProcessID, _ stat: TaskStat, _ folder: Descriptor, _ member: ThreadID,
        _ memberFolder: Descriptor, heldBy held: HeldThread? = nil
    ) {
        self.id = id
        self.held = held
        self.folder = folder
        self.member = member
        self.memberFolder = memberFolder
        startTime = stat.startTime
        name = stat.name
        do throws(Errno) {
            memoryFile = .success(try Descriptor.open("mem", in: memberFolder.rawValue, O_RDWR))
        } catch {
            memoryFile = .failure(error)
        }
        auxiliaryBytes = (try? Self.contents("auxv", of: memberFolder)) ?? []
    }

    // MARK: Files of /proc/PID

    private static func contents(_ file: String, of folder: Descriptor) throws(Errno) -> [UInt8] {
        try Descriptor.open(file, in: folder.rawValue).readToEnd()
    }

    /// All of one file below /proc/PID.
    func contents(_ file: String) throws(LiveProcessError) -> [UInt8] {
        try contents(file, in: folder)
    }

    /// The same, of what belongs to the memory, which a dead first thread has no
    /// more: below /proc/PID/task/MEMBER.
    func memberContents(_ file: String) throws(LiveProcessError) -> [UInt8] {
        do throws(LiveProcessError) {
            return try contents(file, in: memberFolder)
        } catch {
            // Its first thread had ended already, and this one ends when another
            // thread calls execve; or it just ended, and the caller looks again.
            guard isAlive else { throw error }
            let isGone =
                if member.rawValue == id.rawValue {
                    // Of a process that lives, for the moment in which another thread's
                    // execve takes the first one's place.
                    error.isMissingFile
                } else {
                    name(of: member) == nil
                }
            throw isGone ? .programChanged(id) : error
        }
    }

    private func contents(
        _ file: String, in folder: Descriptor
    ) throws(LiveProcessError) -> [UInt8] {
        do {
            return try Self.contents(file, of: folder)
        } catch {
            throw failure(error, "read /proc/\(id)/\(file) of")
        }
    }

    /// The error for what the kernel answered to an action on this process.
    func failure(_ error: Errno, _ action: String) -> LiveProcessError {
        switch error {
        case .noSuchProcess: .ended(id)
        case .permissionDenied, .notPermitted:
            .notPermitted(id, action: action, cause: permissionCause())
        case .noSuchFileOrDirectory where !isAlive: .ended(id)
        default: .system(id, action: action, error)
        }
    }

    // MARK: State

    /// It has not ended, and this is not another process of the same number.
    public var isAlive: Bool {
        guard let text = try? Self.contents("stat", of: folder),
            let stat = TaskStat(parsing: text)
        else { return false }
        return !stat.isZombieProcess && stat.startTime == startTime
    }

    /// What the process is and does at this moment.
    public func facts() throws(LiveProcessError) -> ProcessFacts {
        try whileStanding(standing?.facts) { () throws(LiveProcessError) in
            try facts(in: memberContents("status"))
        }
    }

    /// The same of one of its threads.
    func facts(of thread: ThreadID) throws(LiveProcessError) -> ProcessFacts {
        if thread == member { return try facts() }
        return try facts(in: contents("task/\(thread)/status"))
    }

    private func facts(in text: [UInt8]) throws(LiveProcessError) -> ProcessFacts {
        if let facts = ProcessFacts(parsing: text) { return facts }
        throw .malformed(id, place: "/proc/\(id)/status", rule: "not in the known form", value: 0)
    }

    /// Where its only thread stands at its exec, and has not been led on.
    var standing: StandingFacts? { held?.standing.flatMap { $0.isOver ? nil : $0 } }

    /// What `look` finds, or found before where nothing can have changed since.
    func whileStanding<Value>(
        _ fact: StandingFacts.Fact<Value>?, _ look: () throws(LiveProcessError) -> Value
    ) throws(LiveProcessError) -> Value {
        if let fact { try fact.value(or: look) } else { try look() }
    }

    /// The mappings at this moment.
    public func memoryMap() throws(LiveProcessError) -> MemoryMap {
        try whileStanding(standing?.map) { () throws(LiveProcessError) in try readMemoryMap() }
    }

    private func readMemoryMap() throws(LiveProcessError) -> MemoryMap {
        guard let map = MemoryMap(parsing: try memberContents("maps")) else {
            throw .malformed(id, place: "/proc/\(id)/maps", rule: "not in the known form", value: 0)
        }
        return map
    }

    /// The threads at this moment.
    public func threads() throws(LiveProcessError) -> [ThreadID] {
        do throws(Errno) {
            var list = try TaskList(of: self)
            return try list.read()
        } catch {
            throw failure(error, "list the threads of")
        }
    }

    /// The name of one thread, as `prctl(PR_SET_NAME)` set it; nil where it is gone.
    public func name(of thread: ThreadID) -> String? {
        guard let bytes = try? Self.contents("task/\(thread)/comm", of: folder) else { return nil }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    // MARK: Program

    /// The path of the program, as the process's own mount namespace knows it,
    /// without the kernel's remark that it was deleted.
    public func executablePath() throws(LiveProcessError) -> (path: String, isDeleted: Bool) {
        let link: String
        do {
            link = try Descriptor.readLink("exe", in: memberFolder.rawValue)
        } catch {
            throw failure(error, "read /proc/\(id)/exe of")
        }
        let remark = " (deleted)"
        return link.hasSuffix(remark)
            ? (String(link.dropLast(remark.count)), true) : (link, false)
    }

    /// The file of the program, whatever it is called.
    public func programFile() throws(LiveProcessError) -> FileIdentity {
        do throws(Errno) {
            return try Descriptor.open("exe", in: memberFolder.rawValue, Descriptor.pathOnly)
                .identity()
        } catch {
            throw failure(error, "look at the program of")
        }
    }

    /// Checks that the program is one for 64-bit x86. Throws `foreignProgram`.
    public func requireSupportedProgram() throws(LiveProcessError) {
        if isSupported.load(ordering: .relaxed) { return }
        // Objects are those for 64-bit x86 only (``MappedHeaders``).
        if standing != nil, try loadedObjects().contains(where: \.isProgram) {
            return isSupported.store(true, ordering: .relaxed)
        }
        let header: [UInt8]
        do {
            header = try Descriptor.open("exe", in: memberFolder.rawValue).read(at: 0, count: 20)
        } catch {
            throw failure(error, "read the program of")
        }
        guard header.starts(with: [0x7f, 0x45, 0x4c, 0x46]), header.count == 20 else {
            throw .foreignProgram(id, found: "a program that is not an ELF file")
        }
        // e_ident[EI_CLASS] and e_machine (gABI, "ELF Header").
        let machine = UInt16(header[18]) | UInt16(header[19]) << 8
        if machine != 62 { throw .foreignProgram(id, found: "a program for machine \(machine)") }
        if header[4] != 2 { throw .foreignProgram(id, found: "a 32-bit program") }
        isSupported.store(true, ordering: .relaxed)
    }

    /// The auxiliary vector that the kernel gave the program, by type (AT_*).
    public func auxiliaryVector() throws(LiveProcessError) -> [UInt64: UInt64] {
        // While the thread stands it is what it was when this value was made.
        let isKnown = standing != nil && !auxiliaryBytes.isEmpty
        let bytes = ByteView(isKnown ? auxiliaryBytes : try memberContents("auxv"))
        var entries: [UInt64: UInt64] = [:]
        for offset in stride(from: 0, through: bytes.count - 16, by: 16) {
            // AT_NULL ends it.
            guard let type = bytes.load(offset, as: UInt64.self), type != 0 else { break }
            entries[type] = bytes.load(offset + 8, as: UInt64.self)
        }
        return entries
    }

    /// Checks that the program is still the one that ran when this value was made.
    /// Cheap enough for the moment in which all threads stand still. Throws
    /// `programChanged` or `ended`.
    ///
    /// The kernel gives each program its own auxiliary vector: random addresses,
    /// and where the program's own are not random, its entry and headers. A
    /// process that is about to end has none any more.
    func requireSameProgram() throws(LiveProcessError) {
        let bytes = try memberContents("auxv")
        if bytes == auxiliaryBytes { return }
        throw bytes.isEmpty ? .ended(id) : .programChanged(id)
    }

    /// It has ended, or runs another program than when this value was made: with
    /// its memory went whatever was in it.
    public var isGone: Bool { loss != nil }

    /// What is behind an error: in the middle of anything the process may end or
    /// run another program, and then what failed first is of no interest.
    public func cause(of error: LiveProcessError) -> LiveProcessError { loss ?? error }

    /// `ended` or `programChanged`; nil where neither is known.
    private var loss: LiveProcessError? {
        do throws(LiveProcessError) {
            try requireSameProgram()
            return isAlive ? nil : .ended(id)
        } catch {
            switch error {
            case .ended, .programChanged: return error
            // What keeps this from being seen is what kept the rest from being done.
            default: return nil
            }
        }
    }

    // MARK: Memory

    /// The open /proc/PID/mem. Throws `notPermitted`.
    func memory() throws(LiveProcessError) -> Descriptor {
        switch memoryFile {
        case .success(let descriptor): return descriptor
        case .failure(let error): throw failure(error, "open the memory of")
        }
    }

    // MARK: Permission

    /// The calling process has CAP_SYS_PTRACE.
    public static var mayCallerTraceAll: Bool {
        guard let text = try? Descriptor.open("/proc/self/status").readToEnd() else { return false }
        return ProcessFacts(parsing: text)?.mayTraceAll ?? false
    }

    /// What most likely keeps the caller from this process.
    func permissionCause() -> PermissionCause {
        let caller = geteuid()
        if let facts = try? facts(), caller != 0, facts.userID != caller {
            return .otherUser(owner: facts.userID, caller: caller)
        }
        if let text = try? Descriptor.open("/proc/sys/kernel/yama/ptrace_scope").readToEnd() {
            var cursor = TextCursor(text)
            if let scope = cursor.number(), scope > 0, caller != 0 || scope == 3 {
                return .yama(scope: Int(truncatingIfNeeded: scope))
            }
        }
        return .unknown
    }
}

extension TargetProcess {
    /// The error for a thread that the kernel would not let be traced.
    func seizeFailure(_ thread: ThreadID, _ error: Errno) -> LiveProcessError {
        guard error == .notPermitted || error == .permissionDenied else {
            return failure(error, "trace")
        }
        // The kernel says EPERM for a thread that has ended, too.
        guard let text = try? contents("task/\(thread)/status"),
            let facts = ProcessFacts(parsing: text), facts.state != .dead
        else { return .ended(id) }
        if let tracer = facts.tracer {
            let name = TargetProcess.nameOfTask(tracer)
            return .alreadyTraced(id, thread: thread, by: tracer, name: name)
        }
        return .notPermitted(id, action: "trace", cause: permissionCause())
    }
}
