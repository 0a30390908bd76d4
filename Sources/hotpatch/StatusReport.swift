import Glibc
import HotpatchKit
import JSONText
import SystemPackage

/// What `status` has found: the processes, the store and the service.
struct StatusReport {
    private(set) var processes: [MachineSurvey.Process] = []
    private(set) var notPermitted: [ProcessID] = []
    private(set) var store = StoreContents.empty
    /// Why the store cannot be used.
    private(set) var storeDefect: String?
    /// Installed patches of which nobody has any use.
    private(set) var retired: [InstalledPatch] = []
    let service: ServiceStatus
    /// Whether all processes of the machine were looked at.
    var isSurvey = false

    init(_ locations: Locations) {
        service = ServiceStatus(locations)
        do throws(StoreError) {
            store = try PatchStore(opening: locations).read()
        } catch {
            // What is applied can be told without it.
            storeDefect = error.description
        }
    }

    private var survey: MachineSurvey { MachineSurvey(store: store, service: service.record) }

    mutating func addAll() throws(Failure) {
        do throws(Errno) {
            (processes, notPermitted) = try survey.allProcesses()
            retired = try Switchover.retired(among: store)
        } catch {
            throw Failure(
                status: .failed, code: "process.search",
                message: "cannot look for patched processes: \(error)")
        }
    }

    mutating func add(_ processes: [TargetProcess]) throws(LiveProcessError) {
        let survey = survey
        for process in processes { self.processes.append(try survey.process(process)) }
    }

    /// What is not about any process goes to standard error.
    func warn() {
        var lines: [String] = []
        if let storeDefect { lines.append("what is installed is not known: \(storeDefect)") }
        lines += store.damaged.map(\.description)
        if !notPermitted.isEmpty {
            let advice = geteuid() == 0 ? "" : "; run this as root to see them too"
            lines.append(
                "not permitted to look at \(notPermitted.count) "
                    + "process\(notPermitted.count == 1 ? "" : "es")\(advice)")
        }
        for line in lines { StandardError.write("hotpatch: \(line)\n") }
    }
}

/// The service, as it tells of itself.
struct ServiceStatus {
    /// What it last told, where it runs still.
    let record: WatchRecord?

    init(_ locations: Locations) {
        record = WatchRecord.read(in: locations.run).flatMap { $0.isCurrent ? $0 : nil }
    }

    /// One sentence for people.
    var sentence: String {
        guard let record else {
            return "No service runs: a program that starts comes up without its patches until "
                + "'hotpatch watch' runs, or is started by 'hotpatch run'."
        }
        let window =
            record.window.isEmpty ? "" : " What may run unpatched: \(record.window.printableLine)."
        return "The service runs (pid \(record.process), \(record.mode.rawValue)).\(window)"
    }

    var json: JSONValue {
        guard let record else { return .null }
        return [
            "pid": .integer(Int64(record.process)), "mode": .string(record.mode.rawValue),
            "window": .string(record.window),
            "since": .string(LocalTime.text(UInt64(clamping: record.since))),
        ]
    }
}
