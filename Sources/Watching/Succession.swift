import CFanotify
import CLinuxTrace
import Glibc
import LiveProcess
import SystemPackage

/// Only one service works on a machine; a new one takes over from the old one.
///
/// The lock is the kernel's (flock(2)), on `RUN/watch.lock`: it is gone with its
/// holder, however that ends.
struct Succession {
    static let fileName = "watch.lock"
    private let file: Descriptor

    /// Throws what open(2) answers.
    init(in run: FilePath) throws(Errno) {
        let path = run.appending(Self.fileName).string
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        file = Descriptor(rawValue: descriptor)
    }

    /// Becomes the one, without waiting. false where there is another one.
    private func take() throws(Errno) -> Bool {
        while flock(file.rawValue, LOCK_EX | LOCK_NB) != 0 {
            let error = Errno(rawValue: errno)
            if error == .wouldBlock { return false }
            if error != .interrupted { throw error }
        }
        return true
    }

    /// Becomes the one, and has the one before leave.
    ///
    /// - Parameter predecessor: what that one last told of itself.
    func take(from predecessor: WatchRecord?) throws(WatchError) {
        if try isTaken(within: 0) { return }
        for (signal, seconds) in [(SIGTERM, 5), (SIGKILL, 2)] {
            if let predecessor { Self.end(predecessor, by: signal) }
            if try isTaken(within: seconds) { return }
        }
        throw .occupied(process: predecessor?.process)
    }

    private func isTaken(within seconds: Int) throws(WatchError) -> Bool {
        do throws(Errno) {
            for _ in 0...(seconds * 1000) {
                if try take() { return true }
                if seconds > 0 { usleep(1000) }
            }
            return false
        } catch {
            throw .system(action: "lock '\(Self.fileName)'", error)
        }
    }

    /// Its number may belong to another process by now: the start time tells, looked
    /// at after the process has been pinned by a descriptor.
    private static func end(_ record: WatchRecord, by signal: Int32) {
        let descriptor = clinux_pidfd_open(record.process)
        guard descriptor >= 0 else { return }
        let process = Descriptor(rawValue: descriptor)
        guard record.isCurrent else { return }
        _ = cfanotify_send_signal(process.rawValue, signal)
    }
}
