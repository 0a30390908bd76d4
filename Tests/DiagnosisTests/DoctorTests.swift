import JSONText
import SystemPackage
import TestSupport
import Testing

/// The command, on this machine.
@Suite struct DoctorTests {
    /// Places of its own, which are not there yet.
    private struct Scene {
        let directory: TemporaryDirectory
        let environment: [String: String]

        init() throws {
            directory = try TemporaryDirectory()
            environment = [
                "HOTPATCH_STATE_DIR": directory.path.appending("state").string,
                "HOTPATCH_CONFIG_DIR": directory.path.appending("config").string,
                "HOTPATCH_RUN_DIR": directory.path.appending("run").string,
                "TMPDIR": directory.path.string,
            ]
        }

        /// Runs it, in the end by way of `launcher`.
        func doctor(_ arguments: [String], by launcher: [String] = []) throws -> Command {
            let words = launcher + [try BuiltProduct.path("hotpatch").string, "doctor"] + arguments
            return try Command.run(
                words[0], Array(words.dropFirst()), environment: environment)
        }
    }

    private func findings(_ result: Command) throws -> [String: JSONCursor] {
        let document = JSONCursor(try JSONValue(parsing: result.outputBytes, limit: 1 << 20))
        let findings = try document.member("findings").elements()
        return Dictionary(
            uniqueKeysWithValues: try findings.map { (try $0.member("id").string(), $0) })
    }

    /// These tests trace, so it must say that this is possible; and it leaves nothing.
    @Test func thisMachine() throws {
        let scene = try Scene()
        let result = try scene.doctor(["--format", "json"])
        try #require(result.code == 0, "\(result.output)\(result.errorOutput)")
        let findings = try findings(result)
        #expect(try findings["ptrace.trial"]?.member("verdict").string() == "ok")
        #expect(
            try findings["directory.state"]?.member("found").string().contains("not there") ?? false
        )
        #expect(try findings["service.running"]?.member("verdict").string() == "limits")
        #expect(try entries(scene.directory.path) == [])
    }

    private func entries(_ folder: FilePath) throws -> [String] {
        try Command.run("ls", ["-A", folder.string]).output.split(separator: "\n").map(String.init)
    }

    /// The three formats carry the same facts.
    @Test func formats() throws {
        let scene = try Scene()
        let findings = try findings(scene.doctor(["--format", "json"]))
        let rows = try scene.doctor(["--format", "tsv"]).output.split(separator: "\n")
        let table = try scene.doctor([]).output
        #expect(rows.count == findings.count + 1)
        for (id, finding) in findings {
            let title = try finding.member("what").string()
            let verdict = try finding.member("verdict").string()
            #expect(rows.contains { $0.hasPrefix("\(id)\t\(title)\t") && $0.contains(verdict) })
            #expect(table.contains(title))
            if verdict != "ok" {
                #expect(try table.contains(finding.member("meaning").string()))
                if let remedy = try finding.optionalMember("remedy") {
                    #expect(try table.contains("→ \(remedy.string())"))
                }
            }
        }
    }

    /// Without rights it tells what is left, and what to do.
    @Test func withoutCapabilities() throws {
        let scene = try Scene()
        let launcher = [
            "setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs",
        ]
        let result = try scene.doctor(["--format", "json"], by: launcher)
        let findings = try findings(result)
        #expect(try findings["capability.sys_admin"]?.member("verdict").string() == "limits")
        #expect(try findings["hold.trial"]?.member("verdict").string() == "missing")
        let canTrace = try findings["ptrace.trial"]?.member("verdict").string() == "ok"
        #expect(result.code == (canTrace ? 0 : 2))
    }

    @Test func theKillSwitchAndTheStore() throws {
        let scene = try Scene()
        let state = scene.directory.path.appending("state").string
        let config = scene.directory.path.appending("config").string
        try #require(try Command.run("mkdir", [state, config]).succeeded)
        try #require(try Command.run("chmod", ["777", state]).succeeded)
        try FilePath(config).appending("disabled").write([])
        let result = try scene.doctor(["--format", "json"])
        let findings = try findings(result)
        #expect(try findings["directory.state"]?.member("verdict").string() == "missing")
        #expect(
            try findings["directory.state"]?.member("remedy").string() == "sudo chmod go-w \(state)"
        )
        #expect(try findings["service.switch"]?.member("verdict").string() == "missing")
        // Patches can be applied by hand all the same.
        #expect(result.code == 0)
    }
}
