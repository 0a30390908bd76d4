import JSONText
import SystemPackage
import TestSupport

/// The table of all cases, in the project's documentation. What came of those that a
/// run does not try is kept beside what was built for them.
struct CorpusTable {
    let cache: FilePath

    private func file(_ trial: Case) -> FilePath {
        cache.appending(trial.name).appending("outcome.json")
    }

    func keep(_ outcome: Outcome, of trial: Case) throws {
        try file(trial).write(Array(outcome.json.text().utf8))
    }

    private func outcome(of trial: Case) throws -> Outcome? {
        guard let bytes = try? file(trial).bytes() else { return nil }
        return try Outcome(JSONCursor(try JSONValue(parsing: bytes)))
    }

    func write(_ cases: [Case], to path: FilePath) throws {
        let tried = try cases.map { (trial: $0, outcome: try outcome(of: $0)) }
        var text = Self.introduction
        text += "\n| fix | what changes | what `build` did | in the daemon | as expected |\n"
        text += "|---|---|---|---|---|\n"
        for (trial, outcome) in tried {
            let cells =
                outcome.map {
                    [$0.made, $0.happened(trial), $0.faults.isEmpty ? "yes" : "**no**"]
                } ?? ["", "not tried yet", ""]
            text += row([title(trial, outcome), trial.change] + cells)
        }
        text += Self.figures
        text += "\n| fix | diff to patch, ms | patch, bytes | functions, bytes | processes "
        text += "| stall, µs | requests | failed | entries into the new functions |\n"
        text += "|---|---|---|---|---|---|---|---|---|\n"
        for (trial, outcome) in tried {
            guard let outcome, let live = outcome.live else { continue }
            text += row(
                [
                    trial.name, "\(outcome.milliseconds)", "\(outcome.patchBytes)",
                    "\(outcome.functionBytes)", "\(live.processes)", "\(live.stall)",
                    "\(live.requests)", "\(live.failed)",
                    live.entries.sorted { $0.key < $1.key }.map { "`\($0.key)` \($0.value)" }
                        .joined(separator: ", "),
                ])
        }
        for (trial, outcome) in tried {
            guard let outcome, !outcome.faults.isEmpty else { continue }
            text += "\nNot as expected in \(trial.name):\n\n"
            text += outcome.faults.map { "- \($0.oneLine)\n" }.joined()
        }
        try path.write(
            Array(text.utf8),
            permissions: [.ownerReadWrite, .groupRead, .otherRead])
    }

    private func row(_ cells: [String]) -> String {
        "| " + cells.map(\.oneLine).joined(separator: " | ") + " |\n"
    }

    private func title(_ trial: Case, _ outcome: Outcome?) -> String {
        let version = outcome?.version ?? ""
        return "\(trial.package.name) \(version.isEmpty ? trial.package.version : version), "
            + trial.fix
    }

    private static let introduction = """
        # Real fixes, live

        Security fixes that Debian's source packages carry, each made into a patch by \
        `hotpatch build --source` with nothing written by hand, and applied to the daemon \
        as it was before, while it serves a load. `make corpus` does it all and writes \
        this table; `Tests/Corpus` has the cases.

        The base is the package's source with its patches before the one that is tried, \
        built with `-g -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2` and \
        `-Wl,-z,relro,-z,now`. Each case is expected to fail without the patch, to be \
        fixed with it, and to fail again when it is reverted; no request of the load may \
        fail, and the daemon must end as it always does.

        """

    private static let figures = """

        ## Figures

        From the diff to the patch: without what the compilers took. The stall is how long \
        the threads that ran stood still when the patch was applied, the longest of all \
        processes. Entries are counted by the processor's debug registers, for two rounds \
        of the load and the reproducer, while the patch was in.\(build)

        """

    /// `make corpus` takes an optimised tool; who builds it otherwise is told so.
    private static var build: String {
        #if DEBUG
            " The tool was not optimised in the last run."
        #else
            ""
        #endif
    }
}

extension String {
    /// In one cell of a table.
    fileprivate var oneLine: String {
        split(separator: "\n").joined(separator: " ").replacing("|", with: "\\|")
    }
}

extension Outcome {
    /// What the tool made of the diff.
    fileprivate var made: String {
        if let refusal { return "refused: \(refusal)" }
        var parts: [String] = []
        func add(_ verb: String, _ names: [String]) {
            guard !names.isEmpty else { return }
            let shown = names.prefix(8).map { "`\($0)`" }.joined(separator: ", ")
            parts.append(
                "\(verb) \(shown)" + (names.count > 8 ? " and \(names.count - 8) more" : ""))
        }
        add("replaced", replaced)
        add("added", added)
        parts += inlined
        if movedLines > 0 { parts.append("left \(movedLines) alone that differ by line numbers") }
        return parts.joined(separator: "; ")
    }

    /// What the trial has seen.
    fileprivate func happened(_ trial: Case) -> String {
        guard let live else { return refusal == nil ? "not tried" : "nothing" }
        guard case .live(let reproducer?) = trial.expectation else {
            return "applied and reverted"
        }
        return "\(reproducer.asks): " + live.behaviour.joined(separator: " → ")
    }
}
