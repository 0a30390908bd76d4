import Addresses
import CLinuxTrace
import Glibc

/// The general registers of a stopped thread (`struct user_regs_struct`).
public struct Registers: Sendable {
    var raw = user_regs_struct()

    /// rip: the next instruction.
    public var programCounter: RemoteAddress { RemoteAddress(rawValue: UInt64(raw.rip)) }
    /// rsp.
    public var stackPointer: RemoteAddress { RemoteAddress(rawValue: UInt64(raw.rsp)) }
    /// rbp, which may or may not point to a frame.
    public var framePointer: RemoteAddress { RemoteAddress(rawValue: UInt64(raw.rbp)) }
    /// fs_base: the thread control block, which lies above a thread's stack.
    public var threadPointer: RemoteAddress { RemoteAddress(rawValue: UInt64(raw.fs_base)) }
    /// The number of the system call that the thread is in, or last was in if
    /// it has not run since; nil where it was interrupted in its own code.
    public var systemCall: UInt64? { raw.orig_rax > UInt64(Int64.max) ? nil : UInt64(raw.orig_rax) }
    /// rax: the result of a call that has ended, or one of the kernel's own
    /// codes for one that is to be restarted.
    public var result: Int64 { Int64(bitPattern: UInt64(raw.rax)) }

    /// A register by its DWARF number (psABI x86-64, figure 3.36): 0 rax, 1 rdx,
    /// 2 rcx, 3 rbx, 4 rsi, 5 rdi, 6 rbp, 7 rsp, 8 to 15 r8 to r15, 16 rip.
    public func dwarfRegister(_ number: Int) -> UInt64? {
        switch number {
        case 0: UInt64(raw.rax)
        case 1: UInt64(raw.rdx)
        case 2: UInt64(raw.rcx)
        case 3: UInt64(raw.rbx)
        case 4: UInt64(raw.rsi)
        case 5: UInt64(raw.rdi)
        case 6: UInt64(raw.rbp)
        case 7: UInt64(raw.rsp)
        case 8: UInt64(raw.r8)
        case 9: UInt64(raw.r9)
        case 10: UInt64(raw.r10)
        case 11: UInt64(raw.r11)
        case 12: UInt64(raw.r12)
        case 13: UInt64(raw.r13)
        case 14: UInt64(raw.r14)
        case 15: UInt64(raw.r15)
        case 16: UInt64(raw.rip)
        default: nil
        }
    }

    /// The thread runs 64-bit code: not a 32-bit segment (arch/x86, __USER_CS).
    var isLongMode: Bool { raw.cs == 0x33 }
}

// MARK: Interrupted system calls

/// Codes that the kernel leaves in rax of a call that a signal or a tracer
/// interrupted (include/linux/errno.h). The program never sees them.
enum RestartCode {
    static let restartSystemCall: Int64 = -512  // ERESTARTSYS
    static let restartNoInterrupt: Int64 = -513  // ERESTARTNOINTR
    static let restartNoHandler: Int64 = -514  // ERESTARTNOHAND
    static let restartBlock: Int64 = -516  // ERESTART_RESTARTBLOCK
}

extension Registers {
    /// Blocking calls that answer a mere stop with EINTR, which the program would
    /// see, and that can be started again because EINTR says that they have done
    /// nothing yet. connect is never among them: it goes on by itself.
    private static func isInterruptedByStops(_ call: UInt64) -> Bool {
        switch call {
        // epoll_wait, epoll_pwait, epoll_pwait2
        case 232, 281, 441: true
        // rt_sigtimedwait, semop, semtimedop, io_getevents, io_pgetevents
        case 128, 65, 220, 208, 333: true
        // On a socket with SO_RCVTIMEO: read, readv, preadv2, recvfrom, recvmsg,
        // recvmmsg, accept, accept4
        case 0, 19, 327, 45, 47, 299, 43, 288: true
        // On a socket with SO_SNDTIMEO: write, writev, pwritev2, sendto, sendmsg,
        // sendmmsg
        case 1, 20, 328, 44, 46, 307: true
        // On either: sendfile, splice
        case 40, 275: true
        // io_uring_enter
        case 426: true
        default: false
        }
    }

    /// The thread is in a call that will return EINTR because it was stopped, or
    /// because of a signal; which of the two, the kernel tells by the code below.
    private var isInterrupted: Bool {
        guard result == -Int64(EINTR), let call = systemCall else { return false }
        return Self.isInterruptedByStops(call)
    }

    /// Where the stop would make a call return EINTR, leaves it to the kernel: it
    /// starts the call again, or returns EINTR where a signal with a handler came
    /// too. Returns whether the registers changed and must be written back.
    mutating func hideInterruption() -> Bool {
        guard isInterrupted else { return false }
        raw.rax = UInt64(bitPattern: RestartCode.restartNoHandler)
        return true
    }

    /// The thread was not asleep in a call when it stopped. Workers of the kernel
    /// in the process, which have no registers, count as asleep.
    var showRunningThread: Bool {
        if programCounter.rawValue == 0, stackPointer.rawValue == 0 { return false }
        return !isInRestartableCall
    }

    /// The kernel will start the interrupted call again, unless a signal with a
    /// handler says otherwise.
    var isInRestartableCall: Bool {
        guard systemCall != nil else { return false }
        return switch result {
        case RestartCode.restartSystemCall, RestartCode.restartNoInterrupt,
            RestartCode.restartNoHandler, RestartCode.restartBlock:
            true
        default: false
        }
    }
}
