import CFanotify
import SystemPackage

extension WatchMode {
    /// Milliseconds until the trial counts as caught in a lock for ever; a machine that
    /// is starting up may be busy.
    private static let probePatience: Int32 = 2000

    /// The best that this kernel allows, and why not a better one.
    ///
    /// Tried in a process of its own, since the trial may not come back. The calling
    /// process must have no other threads.
    static func best() -> (mode: WatchMode, obstacle: Errno?) {
        switch cfanotify_probe(false, probePatience) {
        case 1...: (.execPermission, nil)
        case 0: (.lateExecPermission, nil)
        case let error: (.polling, Errno(rawValue: -error))
        }
    }
}
