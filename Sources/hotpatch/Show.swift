import ArgumentParser
import HotpatchKit
import JSONText

struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tell what a patch replaces, needs and adds, and for which base.",
        discussion: "The file is verified completely first; a patch that breaks a rule is an error."
    )

    @OptionGroup var patch: PatchArgument
    @OptionGroup var output: OutputOptions

    func run() throws {
        let file = try patch.read()
        switch output.format {
        case .json:
            let members = [JSONMember("file", .string(patch.patch))] + file.json
            try StandardOutput.write(json: members, command: "show")
        case .tsv:
            var table = PatchTable()
            for fact in file.facts { table.add("patch", fact.name, detail: fact.value) }
            table.addContents(of: file)
            try StandardOutput.write(table.text(format: .tsv, width: nil))
        case .table:
            let width = file.facts.map(\.name.count).max() ?? 0
            var text = ""
            for fact in file.facts where !fact.value.isEmpty {
                let padding = String(repeating: " ", count: width - fact.name.count)
                text += "\(fact.name)\(padding)  \(fact.value.printableLine)\n"
            }
            var table = PatchTable()
            table.addContents(of: file)
            text += "\n" + table.text(format: .table, width: StandardOutput.width)
            try StandardOutput.write(text)
        }
    }
}

extension PatchFile {
    fileprivate var facts: [(name: String, value: String)] {
        let base = manifest.base
        return [
            ("name", manifest.name),
            ("version", manifest.version),
            ("description", manifest.description),
            ("references", manifest.references.joined(separator: " ")),
            ("cumulative", manifest.isCumulative ? "yes: it replaces every other patch" : "no"),
            ("requires", manifest.requires.map(\.description).joined(separator: " ")),
            ("supersedes", manifest.supersedes.joined(separator: " ")),
            ("fixed-in", manifest.fixedIn.map(\.description).joined(separator: " ")),
            ("base", base.fileName),
            ("base-kind", base.kind.title),
            ("base-identity", "\(base.identity)"),
            ("digest", Hexadecimal.text(digest)),
        ]
    }
}

extension Base.Kind {
    fileprivate var title: String {
        switch self {
        case .executable: "program at a fixed address"
        case .positionIndependentExecutable: "position-independent program"
        case .sharedObject: "shared library"
        }
    }
}
