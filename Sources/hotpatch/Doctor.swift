import ArgumentParser
import HotpatchKit
import JSONText

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell what this machine allows, and the command that mends what it does not.",
        discussion: """
            Reads the kernel's settings and really tries things: tracing, writing to memory, \
            real-time priority, holding a program at its start. All of it on processes and files \
            made for it; nothing on the machine is changed. Without root it tells what you may do \
            yourself.

            Exit codes: 0 patches can be applied here, 2 something that this needs is missing.
            """)

    @OptionGroup var output: OutputOptions

    func run() throws {
        let findings = Diagnosis.examine(Locations())
        switch output.format {
        case .json: try StandardOutput.write(json: Self.json(findings), command: "doctor")
        case .tsv: try StandardOutput.write(Self.rows(findings))
        case .table: try StandardOutput.write(Self.report(findings))
        }
        if !findings.allowApplying { Self.exit(with: .refused) }
    }

    // MARK: For programs

    private static func json(_ findings: [Finding]) -> [JSONMember] {
        [
            JSONMember("canApply", .bool(findings.allowApplying)),
            JSONMember("canServe", .bool(findings.allow(.service))),
            JSONMember("findings", .array(findings.map(\.json))),
        ]
    }

    private static func rows(_ findings: [Finding]) -> String {
        var table = Table(
            ["id", "what", "found", "verdict", "needed for", "meaning", "remedy"]
                .map { .init(title: $0) })
        for finding in findings {
            table.add([
                finding.id, finding.title, finding.found, finding.verdict.rawValue,
                finding.purpose.rawValue, finding.meaning, finding.remedy ?? "",
            ])
        }
        return table.text(format: .tsv, width: nil)
    }

    // MARK: For people

    /// A line for each finding; those that are not as they should be are explained.
    private static func report(_ findings: [Finding]) -> String {
        let width = findings.map(\.title.count).max() ?? 0
        var text = ""
        for finding in findings {
            let verdict = finding.verdict.rawValue
            text += coloured(verdict, finding.verdict) + spaces(9 - verdict.count)
            text += finding.title + spaces(width - finding.title.count + 2)
            text += finding.found.printableLine + "\n"
            guard finding.verdict != .ok else { continue }
            text += spaces(9) + finding.meaning.printableLine + "\n"
            if let remedy = finding.remedy {
                text += spaces(9) + "→ " + remedy.printableLine + "\n"
            }
        }
        return text + "\n" + summary(findings)
    }

    private static func summary(_ findings: [Finding]) -> String {
        let apply =
            findings.allowApplying
            ? "Patches can be applied here." : "Patches cannot be applied here as things are."
        let service =
            findings.allow(.service)
            ? "The service can keep them applied."
            : "The service cannot keep them applied as things are."
        return "\(apply) \(service)\n"
    }

    private static func spaces(_ count: Int) -> String {
        String(repeating: " ", count: max(0, count))
    }

    /// ECMA-48's green, yellow and red.
    private static func coloured(_ text: String, _ verdict: Finding.Verdict) -> String {
        guard StandardOutput.isColoured else { return text }
        let colour =
            switch verdict {
            case .ok: 32
            case .limits: 33
            case .missing: 31
            }
        return "\u{1b}[\(colour)m\(text)\u{1b}[0m"
    }
}

extension Finding {
    fileprivate var json: JSONValue {
        [
            "id": .string(id), "what": .string(title), "found": .string(found),
            "verdict": .string(verdict.rawValue), "neededFor": .string(purpose.rawValue),
            "meaning": .string(meaning), "remedy": remedy.map { .string($0) } ?? .null,
        ]
    }
}
