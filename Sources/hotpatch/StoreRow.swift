import HotpatchKit
import JSONText

/// What became of one patch in the store.
struct StoreRow {
    enum Outcome {
        case change(Series.Outcome)
        case uninstalled
        /// It was uninstalled before, and had not left every process.
        case uninstalledBefore
    }

    let id: PatchID
    let base: BaseIdentity
    /// The base's file name, for people; empty where it is not known.
    let baseName: String
    let outcome: Outcome

    /// As machine-readable output and the log name it.
    var result: String {
        switch outcome {
        case .change(.installed): "installed"
        case .change(.replaced): "replaced"
        case .change(.alreadyInstalled): "already-installed"
        case .change(.repaired): "repaired"
        case .uninstalled: "uninstalled"
        case .uninstalledBefore: "already-uninstalled"
        }
    }

    private var superseded: [String] {
        if case .change(.installed(let names)) = outcome { names } else { [] }
    }

    var sentence: String {
        let place = (baseName.isEmpty ? "" : "\(baseName.printableLine) ") + "(build \(base))"
        let digest = ", digest \(id.digest)"
        switch outcome {
        case .change(.installed) where superseded.isEmpty:
            return "installed '\(id.name)' for \(place)" + digest
        case .change(.installed):
            let list = superseded.map { "'\($0)'" }.joined(separator: ", ")
            return "installed '\(id.name)' for \(place), in the place of \(list)" + digest
        case .change(.replaced(let former)):
            return "installed '\(id.name)' for \(place), in the place of \(former)" + digest
        case .change(.alreadyInstalled):
            return "'\(id.name)' is installed already for \(place)"
        case .change(.repaired):
            return "installed '\(id.name)' again for \(place): its file could not be used"
        case .uninstalled:
            return "uninstalled '\(id.name)' for \(place)"
        case .uninstalledBefore:
            return "'\(id.name)' is uninstalled already for \(place)"
        }
    }

    var json: JSONValue {
        [
            "patch": .string(id.name), "digest": .string(id.digest), "base": .string("\(base)"),
            "result": .string(result), "superseded": .array(superseded.map(JSONValue.string)),
        ]
    }

    /// In the columns of the processes.
    var cells: [String] { ["", baseName, result, id.name, "", "", sentence] }

    /// For the log; nil where nothing was changed.
    func event(_ trail: AuditTrail) -> AuditEvent? {
        let action: AuditEvent.Action
        switch outcome {
        case .change(.alreadyInstalled), .uninstalledBefore: return nil
        case .change: action = .install
        case .uninstalled: action = .uninstall
        }
        var event = trail.event(action, result: result)
        event.patch = id.name
        event.digest = id.digest
        event.base = "\(base)"
        if !superseded.isEmpty {
            event.message = "in the place of " + superseded.joined(separator: ", ")
        }
        return event
    }
}
