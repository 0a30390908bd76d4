import CFanotify
import CLinuxTrace
import Glibc
import LiveProcess
import Synchronization
import SystemPackage
import Threads

/// The service's own program, which an upgrade replaces while it runs.
///
/// The new program is started beside this process and takes over (``Succession``), so
/// no start falls between the two. It is a child of the service manager, who is told
/// that it is the main process from now on.
final class Renewal: Sendable {
    /// How long the new program may take until it serves, in nanoseconds.
    private static let limit: UInt64 = 10_000_000_000

    private struct Successor {
        let process: ProcessID
        let descriptor: Descriptor
        /// When it is too late.
        let end: UInt64
    }

    /// Where this program was when it was started.
    let path: FilePath
    private let own: FileIdentity?
    private let successor = Mutex<Successor?>(nil)

    init() {
        let link = "/proc/self/exe"
        path = FilePath((try? Descriptor.readLink(link)) ?? "")
        own = Self.identity(of: link)
    }

    /// Whether there is another program under its name now.
    var isDue: Bool {
        guard let own, let present = Self.identity(of: path.string) else { return false }
        return unsafe present != own && access(path.string, X_OK) == 0
    }

    private static func identity(of path: String) -> FileIdentity? {
        var facts = stat()
        return unsafe stat(path, &facts) == 0 ? FileIdentity(facts) : nil
    }

    /// Starts the new program, as this one was started. Throws what clone(2) answers.
    func start() throws(Errno) {
        // It is of the process that the manager had started, and would have the next
        // one believe that nobody waits for a sign of life.
        let environment = Self.environment.filter { !$0.hasPrefix("WATCHDOG_PID=") }
        var process: Int32 = 0
        let descriptor = unsafe withArgumentVector(CommandLine.arguments) { arguments in
            unsafe withArgumentVector(environment) { environment in
                unsafe cfanotify_start_sibling(path.string, arguments, environment, &process)
            }
        }
        if descriptor < 0 { throw Errno(rawValue: -descriptor) }
        let started = Successor(
            process: ProcessID(rawValue: process), descriptor: Descriptor(rawValue: descriptor),
            end: monotonicNanoseconds() &+ Self.limit)
        successor.withLock { $0 = started }
    }

    /// The process that was started to take over; nil where there is none.
    var process: ProcessID? { successor.withLock { $0?.process } }

    /// Readable when that process has ended, for poll(2); -1 where there is none.
    var descriptor: Int32 { successor.withLock { $0?.descriptor.rawValue ?? -1 } }

    /// When it is too late for that process to take over, in nanoseconds.
    var due: UInt64? { successor.withLock { $0?.end } }

    /// Why it will not take over, told once; nil as long as it may.
    func failure(now: UInt64) -> String? {
        successor.withLock { successor in
            guard let started = successor else { return nil }
            var waiter = pollfd(
                fd: started.descriptor.rawValue, events: Int16(POLLIN), revents: 0)
            if unsafe poll(&waiter, 1, 0) > 0 {
                successor = nil
                return "it ended before it served"
            }
            guard now >= started.end else { return nil }
            _ = cfanotify_send_signal(started.descriptor.rawValue, SIGKILL)
            successor = nil
            return "it did not serve within \(Self.limit / 1_000_000_000) seconds"
        }
    }

    private static var environment: [String] {
        var all: [String] = []
        while let entry = unsafe environ[all.count] { all.append(unsafe String(cString: entry)) }
        return all
    }
}
