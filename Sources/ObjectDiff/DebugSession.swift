import CDebugInfo
import SystemPackage

extension FilePath {
    /// Whether the object file of that name tells of types.
    var tellsTypes: Bool {
        var message: UnsafePointer<CChar>?
        guard let session = unsafe cdebuginfo_open(string, &message) else { return false }
        defer { unsafe cdebuginfo_close(session) }
        return unsafe cdebuginfo_tells_types(session)
    }

    /// Has `read` visit the debug information of the object file of that name, and gives
    /// its callbacks `collector` for a context; does nothing where it has none.
    @unsafe
    func collectDebugInformation<Collector: AnyObject>(
        in collector: Collector, _ read: (OpaquePointer, UnsafeMutableRawPointer) -> Void
    ) {
        var message: UnsafePointer<CChar>?
        guard let session = unsafe cdebuginfo_open(string, &message) else { return }
        defer { unsafe cdebuginfo_close(session) }
        withExtendedLifetime(collector) {
            unsafe read(session, Unmanaged.passUnretained(collector).toOpaque())
        }
    }
}
