import JSONText
import PatchStore
import SystemPackage

/// Whether the service runs, by what it left in its run directory and whether the
/// process that it names there is still the same.
enum ServiceState: Equatable, Sendable {
    case notStarted
    /// `mode` as it tells it: how it notices that a program starts; `window` how long
    /// a program may run unpatched by that.
    case running(pid: Int64, mode: String, window: String)
    /// It ended without saying so.
    case gone(pid: Int64)
    case unreadable(String)

    static func read(_ places: Locations) -> ServiceState {
        switch KernelSetting(reading: places.serviceFile) {
        case .absent: .notStarted
        case .unreadable(let error): .unreadable("\(error)")
        case .text(let text): parse(text, startTime: startTime)
        }
    }

    /// `startTime` gives that of a process, in clock ticks after boot.
    static func parse(_ text: String, startTime: (Int64) -> Int64?) -> ServiceState {
        do {
            let document = JSONCursor(try JSONValue(parsing: Array(text.utf8), limit: 64 << 20))
            let pid = try document.member("pid").integer()
            guard startTime(pid) == (try document.member("startTime").integer()) else {
                return .gone(pid: pid)
            }
            return .running(
                pid: pid, mode: try document.member("mode").string(),
                window: try document.member("window").string())
        } catch {
            return .unreadable("\(error)")
        }
    }

    /// Field 22 of /proc/PID/stat; the name before may hold anything.
    private static func startTime(_ pid: Int64) -> Int64? {
        let stat = KernelSetting(reading: FilePath("/proc/\(pid)/stat")).text ?? ""
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        return fields.count >= 20 ? Int64(fields[19]) : nil
    }
}
