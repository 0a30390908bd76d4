import Glibc
import HotpatchKit
import SystemPackage

/// Waits until the service goes by what was just installed or uninstalled: it notices
/// a change of the store by itself, and what starts before it does would be missed.
enum ServiceNotice {
    /// Longer than it takes to read the store and look at all processes on a busy machine.
    /// A service that hangs is ended by its guardian long before.
    private static let patience: Duration = .seconds(20)

    /// - Parameter revision: the store's.
    static func wait(for revision: Int64, _ locations: Locations) {
        let clock = ContinuousClock()
        let start = clock.now
        while let record = lateService(revision, locations) {
            guard clock.now - start < patience else {
                return StandardError.write(
                    "hotpatch: warning: the service (process \(record.process)) has not noticed "
                        + "this within \(patience.components.seconds) s; what starts before it "
                        + "does is brought to it then\n")
            }
            usleep(2000)
        }
    }

    /// The service, where one runs for this store and has yet to notice.
    private static func lateService(_ revision: Int64, _ locations: Locations) -> WatchRecord? {
        guard let record = WatchRecord.read(in: locations.run), record.isCurrent,
            record.mode != .disabled, record.store.path == locations.state.string,
            record.store.revision < revision
        else { return nil }
        return record
    }
}
