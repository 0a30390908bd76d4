import CFanotify
import Glibc
import LiveProcess
import SystemPackage

/// Why the service ends.
enum EndReason: Sendable, Equatable {
    /// A signal asked for it.
    case signal(Int32)
    /// The guardian is gone or silent: without it nothing ends this process where it
    /// hangs.
    case guardianLost
    /// This thread of some program stands still for too long.
    case heldTooLong(ThreadID)
    /// The kernel's questions cannot be read any more.
    case unreadable(Errno)
    /// The caretaker has come to an end.
    case caretakerEnded
}

/// The thread that answers the kernel and does nothing else: it opens no file of any
/// program, takes no lock that another thread holds while it does, and never waits
/// but for all that it attends to together.
struct AnsweringLoop: ~Copyable {
    /// This process is ended by the kernel where a round takes longer, in milliseconds:
    /// the second net, beside the guardian.
    static let alarm: Int32 = 1000
    /// How often it looks after open questions, in milliseconds.
    private static let watchfulInterval: Int32 = 5

    let guardian: Guardian
    /// nil where the kernel does not ask.
    let group: PermissionGroup?
    let keeper: StartKeeper
    let signals: SignalPipe
    let manager: ServiceManager
    private var lastSignOfLife = monotonicNanoseconds()

    init(
        guardian: consuming Guardian, group: PermissionGroup?, keeper: StartKeeper,
        signals: SignalPipe, manager: ServiceManager
    ) {
        self.guardian = guardian
        self.group = group
        self.keeper = keeper
        self.signals = signals
        self.manager = manager
    }

    /// Answers until something ends it. The group is closed then.
    mutating func run(while isCaredFor: () -> Bool) -> EndReason {
        defer {
            // From here on nobody is kept waiting, whatever the rest of the end takes.
            group?.close()
            _ = cfanotify_set_alarm(0)
        }
        while true {
            guardian.beat()
            _ = cfanotify_set_alarm(Self.alarm)
            if let reason = round() { return reason }
            if !isCaredFor() { return .caretakerEnded }
        }
    }

    private mutating func round() -> EndReason? {
        var waiters = [signals.descriptor, guardian.descriptor, group?.descriptor ?? -1].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        let patience =
            keeper.starts.keepAnyoneWaiting ? Self.watchfulInterval : Guardian.interval
        _ = unsafe poll(&waiters, nfds_t(waiters.count), patience)
        if waiters[2].revents != 0, let group {
            do throws(Errno) {
                for question in try group.questions() { keeper.take(question) }
            } catch {
                return .unreadable(error)
            }
        }
        if let late = keeper.starts.attend().first { return .heldTooLong(late.question.thread) }
        if waiters[1].revents != 0 || guardian.silence > Int64(4 * Guardian.limit) {
            return .guardianLost
        }
        tellAlive()
        return waiters[0].revents == 0 ? nil : takeSignal()
    }

    private func takeSignal() -> EndReason? {
        let signal = signals.take()
        if signal == SIGHUP {
            keeper.caretaker.post(.reload)
            return nil
        }
        return signal > 0 ? .signal(signal) : nil
    }

    private mutating func tellAlive() {
        guard let interval = manager.watchdogInterval,
            monotonicNanoseconds() &- lastSignOfLife >= interval
        else { return }
        manager.tellAlive()
        lastSignOfLife = monotonicNanoseconds()
    }
}
