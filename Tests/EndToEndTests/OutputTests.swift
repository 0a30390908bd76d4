import JSONText
import SystemPackage
import TestSupport
import Testing

/// The three formats carry the same facts, and `check` says what `apply` does.
@Suite struct OutputTests {
    private func scene() throws -> (victim: Victim, patch: FilePath, target: [String]) {
        let program = try Program.compile("life")
        let victim = try startVictim(program)
        let patch = try Patch.build("life-fix", for: program)
        return (victim, patch, ["--pid", "\(victim.pid)"])
    }

    /// The single element of a list in a document.
    private func only(_ list: String, _ document: JSONCursor) throws -> JSONCursor {
        let elements = try document.member(list).elements()
        return try #require(elements.count == 1 ? elements.first : nil)
    }

    @Test func checkTellsWhatApplyDoes() throws {
        let (victim, patch, target) = try scene()
        let before = try ProcessFacts(victim).code()
        try Tool.expect(0, ["check", patch.string] + target, says: ["can be applied", "answer"])
        let report = try only("targets", try Tool.json(["check", patch.string] + target))
        #expect(try report.member("result").string() == "possible")
        #expect(try ProcessFacts(victim).code() == before)
        #expect(try victim.ask("ask") == "old")
        try Tool.expect(0, ["apply", patch.string] + target)
        try Tool.expect(0, ["check", patch.string] + target, says: ["applied already"])
    }

    @Test func reportsInEachFormat() throws {
        let (victim, patch, target) = try scene()
        let document = try Tool.json(["apply", patch.string] + target)
        #expect(try document.member("schema").integer() == 1)
        #expect(try document.member("command").string() == "apply")
        let report = try only("targets", document)
        #expect(try report.member("pid").integer() == Int64(victim.pid))
        #expect(try report.member("program").string() == "life")
        #expect(try report.member("result").string() == "applied")
        #expect(try report.member("patch").string() == "life-fix")
        #expect(try report.member("threads").integer() == 1)
        #expect(try report.member("functions").elements().map { try $0.string() } == ["answer"])

        let row = try #require(try Tool.tsv(["revert", "life-fix"] + target).first)
        #expect(row["pid"] == "\(victim.pid)")
        #expect(row["program"] == "life")
        #expect(row["result"] == "reverted")
        #expect(row["patch"] == "life-fix")
        #expect(row["detail"] == "answer")
    }

    @Test func refusalsInJSON() throws {
        let (victim, patch, target) = try scene()
        victim.kill()
        let report = try only("targets", try Tool.json(["apply", patch.string] + target, code: 5))
        #expect(try report.member("result").string() == "no-such-target")
        #expect(try report.member("code").string() == "process.none")
        #expect(try report.member("message").string().contains("\(victim.pid)"))
    }

    @Test func statusInEachFormat() throws {
        let (victim, patch, target) = try scene()
        try Tool.expect(0, ["apply", patch.string] + target)
        #expect(try victim.ask("ask") == "new")
        let fact = try only("patches", try Tool.json(["status"] + target))
        let row = try #require(try Tool.tsv(["status"] + target).first)
        let table = try Tool.expect(0, ["status"] + target)
        for key in ["program", "patch", "state", "object", "since"] {
            let value = try fact.member(key).string()
            #expect(row[key] == value)
            #expect(table.contains(value))
        }
        #expect(row["functions"] == "answer")
        #expect(table.contains("answer"))
    }

    /// A patch that is reverted is applied since no time, and two builds of a patch
    /// are told apart by their digests.
    @Test func statusOfTwoBuildsOfOnePatch() throws {
        let (victim, patch, target) = try scene()
        try Tool.expect(0, ["apply", patch.string] + target)
        let single = try Tool.expect(0, ["status"] + target)
        #expect(!single.contains("DIGEST"))
        try Tool.expect(0, ["revert", "life-fix"] + target)
        let other = try Patch.build(
            "life-fix", for: try Program.compile("life"), name: "life-fix",
            options: ["--description", "Another build."])
        try Tool.expect(0, ["apply", other.string] + target)
        #expect(try victim.ask("ask") == "new")
        let facts = try Tool.json(["status"] + target).member("patches").elements()
        #expect(facts.count == 2)
        let table = try Tool.expect(0, ["status"] + target, says: ["DIGEST"])
        for fact in facts {
            #expect(try table.contains(fact.member("digest").string().prefix(12)))
            let isReverted = try fact.member("state").string() == "reverted"
            #expect(try (fact.optionalMember("since") == nil) == isReverted)
        }
    }

    /// Lines fit a terminal of 80 columns, and the object's file name stays.
    @Test func statusInATerminal() throws {
        let (victim, patch, target) = try scene()
        try Tool.expect(0, ["apply", patch.string] + target)
        let directory = try TemporaryDirectory()
        let command = "stty cols 80; '\(try Tool.location.get())' status --pid \(victim.pid)"
        let terminal = try Command.run(
            "script", ["-qc", command, directory.path.appending("typescript").string])
        let lines = terminal.output.split(whereSeparator: \.isNewline)
        #expect(lines.count == 2)
        #expect(lines.allSatisfy { $0.count <= 80 })
        #expect(lines.last?.contains("/life") ?? false)
    }

    @Test func aPatchShownInEachFormat() throws {
        let program = try Program.compile("life")
        let patch = try Patch.build(
            "life-fix", for: program, name: "shown",
            options: ["--description", "What it is for.", "--reference", "CVE-2024-1"])
        let document = try Tool.json(["show", patch.string]).member("patch")
        let values = [
            try document.member("name").string(), try document.member("description").string(),
        ]
        #expect(values == ["shown", "What it is for."])
        let table = try Tool.expect(0, ["show", patch.string])
        let tsv = try Tool.tsv(["show", patch.string])
        for value in values + ["CVE-2024-1", "answer", "life"] {
            #expect(table.contains(value))
            #expect(tsv.contains { $0.values.contains { $0.contains(value) } })
        }
    }

    /// Beside the file's bytes, those of the process.
    @Test func aPatchedFunctionInspected() throws {
        let (victim, patch, target) = try scene()
        let inspection = ["inspect", "\(victim.pid)", "answer"]
        let before = try only("functions", try Tool.json(inspection))
        #expect(try before.member("sameInProcess").bool())
        #expect(try before.member("verdict").string() == "patchable")
        try Tool.expect(0, ["apply", patch.string] + target)
        let after = try only("functions", try Tool.json(inspection))
        #expect(try !after.member("sameInProcess").bool())
        // jmp rel32
        #expect(try after.member("bytesInProcess").string().hasPrefix("e9"))
        try Tool.expect(0, inspection, says: ["In the process now", "jmp"])
    }

    @Test func functionsListedInEachFormat() throws {
        let program = try Program.compile("life")
        let rows = try Tool.tsv(["list-symbols", program.string, "answer"])
        let row = try #require(rows.count == 1 ? rows.first : nil)
        let table = try Tool.expect(0, ["list-symbols", program.string, "answer"])
        let function = try only(
            "functions", try Tool.json(["list-symbols", program.string, "answer"]))
        let address = try function.member("address").string()
        #expect(row.values.contains(address))
        #expect(table.contains(address))
        #expect(table.contains("answer"))
    }
}
