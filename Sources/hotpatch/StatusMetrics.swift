import HotpatchKit

extension StatusReport {
    /// The text format of Prometheus, version 0.0.4. No label has a value that changes
    /// while a machine stays as it is: no process ids, no times.
    var metrics: String {
        var text = ""
        add(
            "hotpatch_processes", "Processes by patch and state of the patch in them.",
            counted { [("patch", $0.name), ("base", $0.base), ("state", $0.stateName)] },
            to: &text)
        add(
            "hotpatch_restart_processes",
            "Processes whose program or library is another build on disk, by what a restart gives.",
            counted { patch in
                patch.afterRestart.map { [("patch", patch.name), ("result", $0.word)] }
            }, to: &text)
        add(
            "hotpatch_patch_installed", "Patches that are to be applied.",
            store.patches.map {
                ([("patch", $0.name), ("base", $0.base.description)], 1)
            }, to: &text)
        add(
            "hotpatch_damaged_patches", "Installed patches that cannot be used.",
            [([], store.damaged.count + (storeDefect == nil ? 0 : 1))], to: &text)
        add(
            "hotpatch_service_up", "Whether the service runs.",
            [([], service.record == nil ? 0 : 1)], to: &text)
        add(
            "hotpatch_service_mode", "The way in which the service notices starts.",
            service.record.map { [([("mode", $0.mode.rawValue)], 1)] } ?? [], to: &text)
        add(
            "hotpatch_unseen_processes", "Processes that could not be looked at.",
            [([], notPermitted.count)], to: &text)
        return text
    }

    private typealias Labels = [(name: String, value: String)]
    private typealias Sample = (labels: Labels, value: Int)

    /// How many processes there are for each set of labels; nil counts nothing.
    private func counted(_ labels: (PatchCoverage) -> Labels?) -> [Sample] {
        var samples: [String: Sample] = [:]
        for patch in processes.flatMap(\.patches) {
            guard let labels = labels(patch) else { continue }
            samples[Self.text(labels), default: (labels, 0)].value += 1
        }
        return samples.sorted { $0.key < $1.key }.map(\.value)
    }

    private func add(_ name: String, _ help: String, _ samples: [Sample], to text: inout String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) gauge\n"
        for sample in samples { text += "\(name)\(Self.text(sample.labels)) \(sample.value)\n" }
    }

    private static func text(_ labels: Labels) -> String {
        if labels.isEmpty { return "" }
        return "{" + labels.map { "\($0.name)=\"\(escaped($0.value))\"" }.joined(separator: ",")
            + "}"
    }

    /// Backslash, quotation mark and line feed are escaped; what else does not print
    /// comes from a process that made it up.
    private static func escaped(_ value: String) -> String {
        value.printableLine.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    }
}
