import Glibc
import LiveProcess
import PatchStore

/// What the service manager is told, where there is one (sd_notify(3)): one datagram
/// a message. Where nobody listens, nothing happens.
struct ServiceManager: Sendable {
    private let socket: LocalSocket?
    /// How often it wants a sign of life, in nanoseconds: half of what it allows.
    let watchdogInterval: UInt64?

    /// From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment.
    init(environment: (String) -> String?, process: Int32 = getpid()) {
        socket = environment("NOTIFY_SOCKET").flatMap { $0.isEmpty ? nil : LocalSocket($0) }
        let isForOther = environment("WATCHDOG_PID").map { Int32($0) != process } ?? false
        watchdogInterval =
            isForOther
            ? nil : environment("WATCHDOG_USEC").flatMap { UInt64($0) }.map { $0 &* 500 }
    }

    /// Whether there is one.
    var listens: Bool { socket != nil }

    func tellReady(status: String) { send(["READY=1", "STATUS=" + line(status)]) }
    func tell(status: String) { send(["STATUS=" + line(status)]) }
    func tellStopping() { send(["STOPPING=1"]) }
    /// That another process is the service's main one from now on.
    func tell(successor: ProcessID) { send(["MAINPID=\(successor.rawValue)"]) }
    func tellAlive() { send(["WATCHDOG=1"]) }

    /// The manager waits for the READY=1 that follows.
    func tellReloading() {
        send(["RELOADING=1", "MONOTONIC_USEC=\(monotonicNanoseconds() / 1000)"])
    }

    private func line(_ text: String) -> String { String(text.prefix { $0 != "\n" }) }

    private func send(_ assignments: [String]) {
        socket?.send(Array(assignments.joined(separator: "\n").utf8))
    }
}
