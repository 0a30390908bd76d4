import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

/// What a traced thread has done.
enum TraceeEvent: Equatable {
    /// Nothing yet.
    case none
    /// PTRACE_EVENT_STOP: stopped as asked, or by job control.
    case stopped
    /// It is about to take this signal (a signal-delivery-stop).
    case signal(Int32)
    /// It enters or leaves a system call (PTRACE_O_TRACESYSGOOD).
    case systemCall
    /// It runs another program (PTRACE_EVENT_EXEC).
    case exec
    /// It ended, or its process did, or the kernel no longer counts it as ours.
    case ended
}

/// One thread that the calling OS thread traces, or is about to.
///
/// Nothing here is undone when the value goes: the kernel lets a thread go as if
/// never traced when its tracer's OS thread ends (ptrace(2)), which is why each
/// scope that traces has an OS thread of its own (``TracerThread``).
struct Tracee {
    let id: Int32

    /// TRACESYSGOOD tells system call stops from SIGTRAP, which would outlive a
    /// tool that dies; TRACEEXEC says when the program changes. Never EXITKILL.
    static let options: UInt32 = 1 | 1 << 4

    func seize(options: UInt32 = Tracee.options) throws(Errno) {
        try check(clinux_seize(id, options))
    }

    /// Of a thread that stands still.
    func set(options: UInt32) throws(Errno) { try check(clinux_set_options(id, options)) }

    func interrupt() throws(Errno) { try check(clinux_interrupt(id)) }

    func resume(_ how: clinux_resumption, signal: Int32 = 0) throws(Errno) {
        try check(clinux_resume(id, how, signal))
    }

    func readRegisters(_ registers: inout Registers) throws(Errno) {
        try check(unsafe clinux_get_registers(id, &registers.raw))
    }

    /// Of a thread that stands at a system call: whether it is the call's end.
    func isAtCallEnd() throws(Errno) -> Bool {
        let answer = clinux_is_at_call_end(id)
        try check(answer)
        return answer == 1
    }

    func writeRegisters(_ registers: Registers) throws(Errno) {
        var raw = registers.raw
        try check(unsafe clinux_set_registers(id, &raw))
    }

    /// Writes a `syscall` instruction over what a thread that stands still would run
    /// next, in its own memory.
    func poke(systemCallAt address: RemoteAddress) throws(Errno) {
        var word: UInt64 = 0
        try check(unsafe clinux_peek(id, address.rawValue, &word))
        try check(clinux_poke(id, address.rawValue, word & ~0xffff | 0x050f))  // 0f 05: syscall
    }

    /// What has happened. A stop stays to be seen again until the thread is
    /// resumed; an end is taken note of here, once.
    func look() -> TraceeEvent {
        var wait = clinux_wait()
        let result = unsafe clinux_look(id, &wait)
        // ECHILD: a thread that an exec took away, or one reaped elsewhere.
        if result < 0 { return result == -EINTR ? .none : .ended }
        if wait.tid == 0 { return .none }
        guard wait.code == CLD_TRAPPED else {
            clinux_reap(id)
            return .ended
        }
        switch wait.status >> 8 {
        case 128: return .stopped  // PTRACE_EVENT_STOP
        case 4: return .exec  // PTRACE_EVENT_EXEC
        default: break
        }
        return wait.status == SIGTRAP | 0x80 ? .systemCall : .signal(wait.status & 0x7f)
    }

    /// Waits for something to happen; `.none` where nothing does in time.
    ///
    /// It looks again and again, and sleeps in between: a wait that blocks could
    /// not be given up, and would be for ever on a thread that waits for its
    /// vfork child or on a first thread that has ended before the others.
    ///
    /// - Parameter resting: as for ``Pause``.
    func wait(atMost nanoseconds: UInt64, resting: Bool = false) -> TraceeEvent {
        var pause = Pause(resting: resting)
        while true {
            let event = look()
            if event != .none { return event }
            if pause.elapsed > nanoseconds { return .none }
            pause.next()
        }
    }

    /// Of a thread that has stopped (``TraceeEvent/stopped``): whether job control
    /// did it (ptrace(2), "Group-stop").
    var isStoppedByJobControl: Bool {
        var wait = clinux_wait()
        return unsafe clinux_look(id, &wait) == 0 && wait.tid != 0 && wait.status & 0x7f != SIGTRAP
    }

    private func check(_ result: Int32) throws(Errno) {
        if result < 0 { throw Errno(rawValue: -result) }
    }
}

/// How a thread that was asked to stop answered.
enum Settled {
    case stopped
    /// It runs another program now.
    case exec
    case ended
    /// It sleeps in the kernel where it cannot be interrupted.
    case uninterruptible
    /// It has not stopped, for no reason that can be seen.
    case slow
}

/// How long a thread may take to stop, in nanoseconds.
struct Patience {
    /// On a busy machine a thread waits for a processor first.
    var whileRunnable: UInt64 = 2_000_000_000
    var whileUninterruptible: UInt64 = 5_000_000
}

extension Tracee {
    /// Waits until the thread, which was sent PTRACE_INTERRUPT, has stopped.
    /// `registers` are what it then goes on with; `state` tells what it does while
    /// it does not stop.
    /// `looking` is as for ``Pause``.
    func settle(
        _ patience: Patience, _ registers: inout Registers, looking: Bool = true,
        state: () -> TaskState?
    ) throws(Errno) -> Settled {
        var pause = Pause(looking: looking)
        var lastLook: UInt64 = 0
        while true {
            if let settled = try settleNow(&registers) { return settled }
            let waited = pause.elapsed
            if waited &- lastLook > 1_000_000 {
                lastLook = waited
                switch state() {
                case .none, .dead: return .ended
                case .uninterruptible where waited > patience.whileUninterruptible:
                    return .uninterruptible
                default: if waited > patience.whileRunnable { return .slow }
                }
            }
            pause.next()
        }
    }

    /// Attends to what the thread, which was sent PTRACE_INTERRUPT, has done by
    /// now, and hides from it that its call was interrupted; nil where it has not
    /// stopped yet. The first stop may be one for a signal: the thread takes that
    /// first, since swallowing it would lose it.
    func settleNow(_ registers: inout Registers) throws(Errno) -> Settled? {
        switch look() {
        case .none: return nil
        case .ended: return .ended
        case .exec: return .exec
        case .stopped:
            try readRegisters(&registers)
            if registers.hideInterruption() { try writeRegisters(registers) }
            return .stopped
        case .systemCall: try resume(CLINUX_CONTINUE)
        case .signal(let signal): try pass(signal, CLINUX_CONTINUE)
        }
        return nil
    }

    /// Lets a thread that is about to take a signal take it, or one that was told to
    /// stop go on (0). That signal may be one which the program ignores, and would
    /// not have been interrupted by but for us.
    func pass(_ signal: Int32, _ how: clinux_resumption) throws(Errno) {
        var registers = Registers()
        try readRegisters(&registers)
        if registers.hideInterruption() { try writeRegisters(registers) }
        try resume(how, signal: signal)
    }
}

/// The pauses between two looks: none at first, since a running thread stops
/// within microseconds, then longer and longer ones. A report of the kernel that a
/// traced thread has stopped ends a pause.
struct Pause {
    private let start = monotonicNanoseconds()
    /// About 10 µs of looking without a pause.
    private let looksAtFirst: Int
    private let longest: Int
    private var rounds = 0

    /// - Parameters:
    ///   - looking: false where what is waited for may need the processor that looking
    ///     would take.
    ///   - resting: true where it may take minutes, and the report of the kernel is
    ///     certain to come.
    init(looking: Bool = true, resting: Bool = false) {
        looksAtFirst = looking ? 20 : 0
        longest = resting ? 12 : 4
    }

    /// Nanoseconds since the first look.
    var elapsed: UInt64 { monotonicNanoseconds() &- start }

    mutating func next() {
        rounds += 1
        guard rounds > looksAtFirst else { return }
        // 25 µs (see Breather), doubled up to 400 µs, or 102 ms.
        let nanoseconds = 25_000 << min((rounds - looksAtFirst) / 8, longest)
        var time = timespec(tv_sec: 0, tv_nsec: nanoseconds)
        var report = Self.report
        // Over when SIGCHLD comes, with which the kernel tells a tracer of a stop
        // (ptrace(2)); whether it is the stop that is waited for, the next look says.
        unsafe sigtimedwait(&report, nil, &time)
    }

    /// The signals that tell of stops. They reach the OS thread that traces where it
    /// blocks them.
    static var report: sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGCHLD)
        return set
    }
}

/// The time since some moment, for differences.
package func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
}
