import Addresses
import ELFImage
import Glibc
import SystemPackage

/// Why something could not be learned from a process or done to it. Unless a
/// case says otherwise, the process runs on as if nothing had been tried.
public enum LiveProcessError: Error, Equatable, Sendable {
    case noSuchProcess(ProcessID)
    /// The number is that of a thread.
    case threadOfProcess(ThreadID, of: ProcessID)
    /// The process ended, or its number was given to another one meanwhile.
    case ended(ProcessID)
    /// It has ended already, and only its parent has not noticed.
    case zombie(ProcessID)
    /// A signal is ending it, and the kernel is still writing its core.
    case dumpingCore(ProcessID)
    case kernelThread(ProcessID, name: String)
    /// Not a 64-bit x86 program; `found` says what its ELF header tells.
    case foreignProgram(ProcessID, found: String)
    case notPermitted(ProcessID, action: String, cause: PermissionCause)
    case alreadyTraced(ProcessID, thread: ThreadID, by: ProcessID, name: String)
    /// Another instance of this tool works on it.
    case occupied(ProcessID)
    /// The process has replaced its program (execve) since it was looked at.
    case programChanged(ProcessID)
    /// Memory at `range` cannot be read.
    case unreadable(ProcessID, range: AddressRange<RemoteAddress>, Errno)
    /// Memory at `range` cannot be written. Nothing was changed.
    case unwritable(ProcessID, range: AddressRange<RemoteAddress>, Errno)
    /// What was written reads back otherwise.
    case writeNotSeen(ProcessID, range: AddressRange<RemoteAddress>)
    /// What the process or the kernel says at `place` breaks a rule.
    case malformed(ProcessID, place: String, rule: String, value: UInt64)
    /// The file mapped as `path` cannot be opened from here, or is another one by now.
    case fileUnavailable(ProcessID, path: String, reason: String)
    /// The file is mapped, but it cannot be understood.
    case image(ProcessID, ELFError)
    /// A system call of this process failed.
    case system(ProcessID, action: String, Errno)
    /// A system call made by the target failed.
    case remoteCall(ProcessID, name: String, Errno)
    /// A seccomp filter of the thread that would make the calls stands in the way.
    case seccomp(ProcessID, thread: ThreadID, SeccompObstacle)
    /// No executable bytes of the process are free for the stub of a remote call.
    case noRoomForStub(ProcessID, tried: [String])
    /// No thread could be brought to make a system call; `reason` of the last.
    case noThreadForCall(ProcessID, reason: String)
    /// The thread that made the call ended in the middle of it: whether the call
    /// was carried out is not known.
    case lostDuringCall(ProcessID, name: String)
    /// The process that was to patch this one at its exec ended before it could.
    case attendantLost(ProcessID)
    /// Not every thread can be stopped now; later it may be possible.
    case cannotStopNow(ProcessID, StopObstacle)
}

/// What keeps a process from being looked at or traced.
public enum PermissionCause: Equatable, Sendable {
    /// Another user's process, or one that keeps its memory to itself
    /// (prctl(2), PR_SET_DUMPABLE).
    case otherUser(owner: UInt32, caller: UInt32)
    /// Yama's ptrace_scope, 1 to 3.
    case yama(scope: Int)
    /// None of the above: a security module, a container, a user namespace.
    case unknown
}

/// Why a stop of all threads was given up.
public enum StopObstacle: Equatable, Sendable {
    /// A thread sleeps where it cannot be interrupted: it waits for a device,
    /// for a vfork child, or for the other threads to end before an exec.
    case uninterruptible(ThreadID)
    /// A thread did not stop in the time given.
    case slowToStop(ThreadID)
    /// Another process shares the memory: a vfork child, or a clone with CLONE_VM.
    case memoryShared(with: ProcessID)
    /// Threads were started faster than they could be stopped.
    case threadsKeepAppearing(count: Int)
}

extension LiveProcessError {
    var isMissingFile: Bool {
        if case .system(_, _, .noSuchFileOrDirectory) = self { true } else { false }
    }
}

extension LiveProcessError {
    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .noSuchProcess: "process.none"
        case .threadOfProcess: "process.thread"
        case .ended: "process.ended"
        case .zombie: "process.zombie"
        case .dumpingCore: "process.dumping-core"
        case .kernelThread: "process.kernel-thread"
        case .foreignProgram: "process.foreign"
        case .notPermitted: "process.not-permitted"
        case .alreadyTraced: "process.traced"
        case .occupied: "process.occupied"
        case .programChanged: "process.program-changed"
        case .unreadable: "process.unreadable"
        case .unwritable: "process.unwritable"
        case .writeNotSeen: "process.write-not-seen"
        case .malformed: "process.malformed"
        case .fileUnavailable: "process.file-unavailable"
        case .image(_, let error): error.code
        case .system: "process.system"
        case .remoteCall: "process.remote-call"
        case .seccomp: "process.seccomp"
        case .noRoomForStub: "process.no-room-for-stub"
        case .noThreadForCall: "process.no-thread-for-call"
        case .lostDuringCall: "process.lost-during-call"
        case .attendantLost: "process.attendant-lost"
        case .cannotStopNow: "process.cannot-stop-now"
        }
    }
}

extension LiveProcessError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noSuchProcess(let pid):
            "there is no process \(pid)"
        case .threadOfProcess(let thread, let pid):
            "\(thread) is a thread of process \(pid); name the process: --pid \(pid)"
        case .ended(let pid):
            "process \(pid) ended meanwhile"
        case .zombie(let pid):
            "process \(pid) has ended already; its parent has not taken note of it (a zombie)"
        case .dumpingCore(let pid):
            "process \(pid) is being ended by a signal and writes its core; there is nothing left "
                + "to patch"
        case .kernelThread(let pid, let name):
            "process \(pid) ('\(name)') is a kernel thread: it runs no program that could be patched"
        case .foreignProgram(let pid, let found):
            "process \(pid) runs \(found); hotpatch handles 64-bit x86 programs"
        case .notPermitted(let pid, let action, let cause):
            "not permitted to \(action) process \(pid): \(cause)"
        case .alreadyTraced(let pid, let thread, let tracer, let name):
            "thread \(thread) of process \(pid) is traced by process \(tracer) ('\(name)'); "
                + "end that tool or detach it, then run this again"
        case .occupied(let pid):
            "another hotpatch works on process \(pid); run this again when it is done"
        case .programChanged(let pid):
            "process \(pid) has started another program meanwhile (execve); run this again"
        case .unreadable(let pid, let range, let errno):
            "cannot read the memory of process \(pid) at \(range): \(errno)"
        case .unwritable(let pid, let range, let errno):
            "cannot write to the memory of process \(pid) at \(range): \(errno)"
        case .writeNotSeen(let pid, let range):
            "wrote to the memory of process \(pid) at \(range), but other bytes are read there"
        case .malformed(let pid, let place, let rule, let value):
            "process \(pid), \(place): \(rule) (found 0x\(String(value, radix: 16)))"
        case .fileUnavailable(let pid, let path, let reason):
            "cannot open '\(path)' as process \(pid) has it mapped: \(reason)"
        case .image(let pid, let error):
            "process \(pid): \(error)"
        case .system(let pid, let action, let errno):
            "cannot \(action) (process \(pid)): \(errno)"
        case .remoteCall(let pid, let name, let errno):
            "\(name) failed in process \(pid): \(errno)"
        case .seccomp(let pid, let thread, .forbidden(let call)):
            "thread \(thread) of process \(pid) runs under a seccomp filter that does not permit "
                + "\(call), which a patch needs; set it aside explicitly, at the risk that the "
                + "program is killed if hotpatch is killed meanwhile, or restart the program with "
                + "a filter that permits memfd_create, mmap and close"
        case .seccomp(let pid, let thread, .unreadable(let errno)):
            "thread \(thread) of process \(pid) runs under a seccomp filter, and what that permits "
                + "cannot be read: \(errno); it takes CAP_SYS_ADMIN, and a hotpatch that runs "
                + "under no filter itself"
        case .seccomp(let pid, let thread, .unjudged):
            "thread \(thread) of process \(pid) runs under a seccomp filter, and the patch has code "
                + "to be run once in the program, whose calls the filter may not permit "
                + "(rt_sigprocmask, gettid, futex, and what callbacks call); go on explicitly where "
                + "it does, or restart the program without the filter"
        case .noRoomForStub(let pid, let tried):
            "process \(pid) has no unused executable bytes for a system call stub (looked at "
                + tried.joined(separator: ", ") + "); 'hotpatch recover' frees what an "
                + "interrupted run left there"
        case .noThreadForCall(let pid, let reason):
            "no thread of process \(pid) could make a system call: \(reason); run this again"
        case .lostDuringCall(let pid, let name):
            "the thread of process \(pid) that was to call \(name) ended in the middle of it"
        case .attendantLost(let pid):
            "the process that was to patch process \(pid) at its start ended before it could: it "
                + "was killed, by somebody, for want of memory, or by a seccomp filter that "
                + "does not permit ptrace"
        case .cannotStopNow(let pid, let obstacle):
            "process \(pid) cannot be stopped as a whole now: \(obstacle)"
        }
    }
}

extension PermissionCause: CustomStringConvertible {
    public var description: String {
        switch self {
        case .otherUser(let owner, let caller):
            "it belongs to user \(owner), you are user \(caller); run this as user \(owner) "
                + "or as root"
        case .yama(let scope):
            scope == 3
                ? "kernel.yama.ptrace_scope is 3, which forbids all tracing until the next boot"
                : "kernel.yama.ptrace_scope is \(scope); run this as root, or set it to 0: "
                    + "sysctl kernel.yama.ptrace_scope=0"
        case .unknown:
            geteuid() == 0
                ? "the kernel gives no reason, and not even root may do it here; a security module "
                    + "forbids it, or this is the root of a container: run this outside of it"
                : "the kernel gives no reason; a security module or a container may forbid it, or "
                    + "the program keeps its memory to itself (PR_SET_DUMPABLE); run this as root"
        }
    }
}

extension StopObstacle: CustomStringConvertible {
    public var description: String {
        switch self {
        case .uninterruptible(let thread):
            "thread \(thread) waits in the kernel where it cannot be interrupted"
        case .slowToStop(let thread):
            "thread \(thread) did not stop in time"
        case .memoryShared(let other):
            "process \(other) runs in the same memory"
        case .threadsKeepAppearing(let count):
            "it started \(count) threads while it was being stopped"
        }
    }
}
