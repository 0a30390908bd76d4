import CFanotify
import CLinuxTrace
import Glibc
import LiveProcess
import Logging
import PatchStore
import Synchronization
import SystemPackage
import Threads

/// What the service is to do.
public struct WatchOptions: Sendable {
    public var locations: Locations
    /// Files of bases that are neither in the usual places nor in use when the service
    /// starts.
    public var paths: [FilePath] = []
    /// nil for the best that this kernel allows.
    public var mode: WatchMode?
    public var log: Logger

    public init(locations: Locations, log: Logger) {
        self.locations = locations
        self.log = log
    }
}

/// Keeps the installed patches applied: in what runs, and in what starts, before its
/// first instruction.
public enum Watcher {
    /// Why the service ended that was to end.
    public enum End: Sendable, Equatable {
        case signal(Int32)
        /// By the kill switch that the text names.
        case switchedOff(by: String)
    }

    /// Serves until a signal asks for the end (SIGTERM, SIGINT, SIGQUIT).
    ///
    /// Whatever ends this process, and whatever keeps it from working on, lets every
    /// program start: the kernel counts its questions as answered when the process is
    /// gone, and a guardian process sees to it that it goes where it hangs.
    ///
    /// The calling thread must be the first and the only one of the process. Its signal
    /// mask and what signals do change for good.
    public static func run(_ options: WatchOptions) throws(WatchError) -> End {
        let manager = ServiceManager(environment: Locations.variable)
        try makeFolder(options.locations.run)
        let predecessor = WatchRecord.read(in: options.locations.run)
        try makeFolder(options.locations.state)
        if let reason = KillSwitch.reason(configuration: options.locations.config) {
            tellDisabled(reason, options, manager)
            return .switchedOff(by: reason)
        }
        let descriptors = raiseDescriptorLimit()
        let mode = chooseMode(options, descriptors: descriptors)
        takeSignals()
        let guardian: Guardian
        do throws(Errno) { guardian = try Guardian() } catch {
            throw .system(action: "start the guardian process", error)
        }
        stayInMemory(options.log)
        return try serve(
            options, mode, guardian, manager, predecessor,
            StartsInFlight(descriptors: descriptors))
    }

    private static func serve(
        _ options: WatchOptions, _ mode: WatchMode, _ guardian: consuming Guardian,
        _ manager: ServiceManager, _ predecessor: WatchRecord?,
        _ starts: StartsInFlight
    ) throws(WatchError) -> End {
        let group: PermissionGroup?
        let mailbox: Mailbox
        let folders: FolderWatch
        let succession: Succession
        let signals: SignalPipe
        do throws(Errno) {
            signals = try SignalPipe()
            group = mode.asksKernel ? try PermissionGroup() : nil
            mailbox = try Mailbox()
            folders = try FolderWatch()
            succession = try Succession(in: options.locations.run)
        } catch {
            throw .system(action: "start watching", error)
        }
        let identities = FileIdentities()
        let keeper = StartKeeper(
            bases: InstalledBases(), identities: identities, starts: starts,
            mode: mode, caretaker: mailbox)
        let record = try ownRecord(mode)
        let caretakerEnd = CaretakerEnd()
        let guardianProcess = guardian.process
        let renewal = Renewal()
        // Before there is any mark: from here on something ends this process where it
        // hangs.
        guardian.beat()
        _ = cfanotify_set_alarm(AnsweringLoop.alarm)
        do throws(Errno) {
            try OSThread {
                let caretaker = Caretaker(
                    options, keeper, guardian: guardianProcess, record: record,
                    predecessor: predecessor,
                    marked: MarkedFiles(group: group, identities: identities),
                    folders: folders, manager: manager, renewal: renewal
                ) { () throws(WatchError) in
                    try succession.take(from: predecessor)
                }
                caretakerEnd.set(caretaker.work())
            }.detach()
        } catch {
            throw .system(action: "start a thread", error)
        }
        // Programs that start wait for this thread and for those that it starts, and for
        // nothing that the caretaker does.
        _ = setpriority(Int32(PRIO_PROCESS.rawValue), 0, -10)
        var loop = AnsweringLoop(
            guardian: guardian, group: group, keeper: keeper, signals: signals,
            manager: manager)
        let reason = loop.run { caretakerEnd.value == nil }
        if reason == .signal(SIGTERM), let successor = renewal.process {
            manager.tell(successor: successor)
        } else {
            manager.tellStopping()
        }
        keeper.caretaker.post(.end)
        // The group is closed, and asks nobody any more. What is held is patched and let
        // go, what is being patched is done; the guardian knows of it.
        let end = monotonicNanoseconds() &+ 2_000_000_000
        while !keeper.starts.isEmpty || caretakerEnd.value == nil, monotonicNanoseconds() < end {
            loop.guardian.beat()
            usleep(10_000)
        }
        return try self.end(for: reason, caretakerEnd)
    }

    private static func end(
        for reason: EndReason, _ caretakerEnd: CaretakerEnd
    ) throws(WatchError) -> End {
        switch reason {
        case .signal(let signal): return .signal(signal)
        case .guardianLost: throw .guardianLost
        case .heldTooLong(let thread): throw .heldTooLong(thread: thread.rawValue)
        case .unreadable(let error): throw .unreadable(error)
        case .caretakerEnded:
            switch caretakerEnd.value {
            case .failed(let error): throw error
            case .switchedOff(let reason): return .switchedOff(by: reason)
            case .told, nil: return .signal(SIGTERM)
            }
        }
    }
}

/// How the caretaker's thread ended, for the others.
private final class CaretakerEnd: Sendable {
    private let end = Mutex<Caretaker.End?>(nil)
    var value: Caretaker.End? { end.withLock { $0 } }
    func set(_ value: Caretaker.End) { end.withLock { $0 = value } }
}

// MARK: Before the first thread

extension Watcher {
    private static func makeFolder(_ path: FilePath) throws(WatchError) {
        if unsafe mkdir(path.string, 0o755) != 0, errno != EEXIST {
            throw .system(action: "make the directory '\(path)'", Errno(rawValue: errno))
        }
    }

    private static func ownRecord(_ mode: WatchMode) throws(WatchError) -> WatchRecord {
        do throws(LiveProcessError) {
            let own = try TargetProcess.find(ProcessID(rawValue: getpid()))
            return WatchRecord(
                process: getpid(), startTime: own.startTime, since: Int64(time(nil)),
                mode: mode)
        } catch {
            throw .system(action: "look at this process in /proc", .noSuchProcess)
        }
    }

    private static func tellDisabled(
        _ reason: String, _ options: WatchOptions, _ manager: ServiceManager
    ) {
        options.log.notice("switched off by \(reason): nothing is watched")
        manager.tellReady(status: "switched off by \(reason)")
        do throws(WatchError) {
            var record = try ownRecord(.disabled)
            record.window += ": switched off by \(reason)"
            do throws(Errno) { try record.write(in: options.locations.run) } catch {
                throw .system(action: "write '\(options.locations.run)'", error)
            }
        } catch {
            options.log.warning("\(error)")
        }
    }

    private static func chooseMode(_ options: WatchOptions, descriptors: Int) -> WatchMode {
        if let mode = options.mode { return mode }
        if StartsInFlight.limit(descriptors: descriptors) == 0 {
            options.log.warning(
                """
                only \(descriptors) files may be open at once, too few to hold programs at their \
                start; raise the limit (RLIMIT_NOFILE, LimitNOFILE=)
                """)
            options.log.notice("mode polling; unpatched: \(WatchMode.polling.window)")
            return .polling
        }
        let (mode, obstacle) = WatchMode.best()
        if let obstacle {
            options.log.warning("the kernel cannot ask before programs start: \(obstacle)")
        }
        options.log.notice("mode \(mode.rawValue); unpatched: \(mode.window)")
        return mode
    }

    /// Blocks all signals, for all threads to come, but those that tell of faults and
    /// SIGALRM, which ends a process that hangs.
    private static func takeSignals() {
        var held = sigset_t()
        unsafe sigfillset(&held)
        for signal in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGALRM] {
            unsafe sigdelset(&held, signal)
        }
        unsafe pthread_sigmask(SIG_SETMASK, &held, nil)
        _ = signal(SIGALRM, SIG_DFL)
        // Not for the threads that patch to take as a request to give up
        // (``HeldSignals``); blocked, an ignored signal can still be waited for.
        for number in SignalPipe.numbers { _ = signal(number, SIG_IGN) }
        _ = signal(SIGPIPE, SIG_IGN)
    }

    /// Returns how many descriptors this process may have now.
    private static func raiseDescriptorLimit() -> Int {
        var limit = rlimit()
        let number = Int32(bitPattern: RLIMIT_NOFILE.rawValue)
        guard unsafe clinux_limit(getpid(), number, nil, &limit) == 0 else { return 1024 }
        let before = limit.rlim_cur
        limit.rlim_cur = limit.rlim_max
        let isRaised = unsafe clinux_limit(getpid(), number, &limit, nil) == 0
        return Int(clamping: isRaised ? limit.rlim_max : before)
    }

    private static func stayInMemory(_ log: Logger) {
        let result = cfanotify_stay_in_memory()
        if result < 0 {
            log.info("may be swapped out, and answer late: \(Errno(rawValue: -result))")
        }
    }
}
