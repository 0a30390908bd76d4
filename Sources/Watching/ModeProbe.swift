import CFanotify
import SystemPackage

extension WatchMode {
    /// The best that this kernel allows, and why not a better one.
    ///
    /// Tried in a process of its own, since the trial may not come back. The calling
    /// process must have no other threads.
    static func best() -> (mode: WatchMode, obstacle: Errno?) {
        switch cfanotify_probe(false, 500) {
        case 1...: (.execPermission, nil)
        case 0: (.lateExecPermission, nil)
        case let error: (.polling, Errno(rawValue: -error))
        }
    }
}
