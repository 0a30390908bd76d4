import CLinuxTrace
import Dispatch
import Glibc
import Synchronization
import Threads

/// What a test helper could not do. The text says what was tried.
public struct TestSupportError: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// How a process ended.
public enum ExitStatus: Equatable, Sendable {
    case exited(Int32)
    case killed(signal: Int32)
}

/// A process that cannot outlive the test run.
///
/// The thread that starts it lives as long as it does, because the kernel
/// delivers PR_SET_PDEATHSIG when the starting *thread* ends, and the threads
/// on which tests run come and go. `setpriv` (util-linux) sets it.
public final class ChildProcess: Sendable {
    /// How long a test waits for anything before it fails; never a way to pace it.
    public static let deadlineSeconds = 60

    public let pid: Int32
    private let exit: ExitRecord

    /// Starts `arguments[0]` with its standard streams at the three descriptors,
    /// which stay the caller's.
    public init(_ arguments: [String], environment: [String], streams: [Int32]) throws {
        let exit = ExitRecord()
        let start = StartRequest(
            arguments: arguments,
            environment: environment, streams: streams, exit: exit)
        let box = unsafe Unmanaged.passRetained(start)
        var thread = pthread_t()
        let failure = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                unsafe Unmanaged<StartRequest>.fromOpaque(argument).takeRetainedValue().serve()
                return nil
            }, box.toOpaque())
        guard failure == 0 else {
            unsafe box.release()
            throw TestSupportError("cannot start a thread: error \(failure)")
        }
        pthread_detach(thread)
        start.started.wait()
        pid = start.result.withLock { $0 }
        self.exit = exit
        guard pid > 0 else {
            throw TestSupportError("cannot start \(arguments): error \(-pid)")
        }
    }

    deinit { kill() }

    /// Ends the process if it still runs, and waits until it is gone.
    public func kill() {
        exit.unlessReaped { _ = Glibc.kill(pid, SIGKILL) }
        _ = exit.wait()
    }

    /// Sends a signal; nothing happens where the process is gone.
    public func signal(_ number: Int32) {
        exit.unlessReaped { _ = Glibc.kill(pid, number) }
    }

    public var isRunning: Bool { exit.status == nil }

    /// Waits for the process to end by itself.
    public func waitForExit() throws -> ExitStatus {
        guard let status = exit.wait() else {
            throw TestSupportError("process \(pid) did not end in \(Self.deadlineSeconds) s")
        }
        return status
    }
}

/// How a child ended, once it has, shared between its thread and its user.
private final class ExitRecord: Sendable {
    private let state = Mutex<ExitStatus?>(nil)
    private let ended = DispatchSemaphore(value: 0)

    var status: ExitStatus? { state.withLock { $0 } }

    /// Runs `body` while the process id cannot have been given to another process.
    func unlessReaped(_ body: () -> Void) {
        state.withLock { status in
            if status == nil { body() }
        }
    }

    func wait() -> ExitStatus? {
        guard ended.wait(timeout: .now() + .seconds(ChildProcess.deadlineSeconds)) == .success
        else { return nil }
        ended.signal()
        return status
    }

    /// Waits for the process to end, and reaps it.
    ///
    /// By pidfd first: a blocking waitid here would be shown the ptrace stops
    /// of a child that another thread of this test process traces, and take them.
    func reap(_ pid: Int32) {
        let descriptor = clinux_pidfd_open(pid)
        var waiter = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while unsafe poll(&waiter, 1, -1) < 0, errno == EINTR {}
        close(descriptor)
        state.withLock { status in
            var code: Int32 = 0
            var reaped: Int32
            repeat { reaped = unsafe waitpid(pid, &code, 0) } while reaped < 0 && errno == EINTR
            let signal = code & 0x7f
            // A tracer in this process may have reaped it before us.
            status =
                reaped < 0 || signal != 0
                ? .killed(signal: reaped < 0 ? SIGKILL : signal) : .exited((code >> 8) & 0xff)
        }
        ended.signal()
    }
}

/// One start, handed to the thread that performs it and then watches the child.
private final class StartRequest: Sendable {
    let arguments: [String]
    let environment: [String]
    let streams: [Int32]
    let exit: ExitRecord
    let started = DispatchSemaphore(value: 0)
    /// The process id, or a negative error number.
    let result = Mutex<Int32>(0)

    init(arguments: [String], environment: [String], streams: [Int32], exit: ExitRecord) {
        self.arguments = [Self.launcher, "--pdeathsig", "KILL", "--"] + arguments
        self.environment = environment
        self.streams = streams
        self.exit = exit
    }

    func serve() {
        let pid = spawn()
        result.withLock { $0 = pid }
        started.signal()
        if pid > 0 { exit.reap(pid) }
    }

    private static let launcher = "/usr/bin/setpriv"

    private func spawn() -> Int32 {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for (target, source) in streams.enumerated() {
            unsafe posix_spawn_file_actions_adddup2(&actions, source, Int32(target))
        }
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe posix_spawnattr_setsigmask(&attributes, &signals)
        unsafe sigfillset(&signals)
        unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
        unsafe posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var pid: Int32 = 0
        let failure = unsafe withArgumentVector(arguments) { argv in
            unsafe withArgumentVector(environment) { envp in
                unsafe posix_spawn(&pid, Self.launcher, &actions, &attributes, argv, envp)
            }
        }
        return failure == 0 ? pid : -failure
    }
}
