import Glibc
import JSONText
import SystemPackage
import TestSupport
import Testing

/// `status` beside what is installed: what is applied, what is missing and why, and
/// what a restart would change.
@Suite struct StatusTests {
    /// A program of its own build, a fix for it, and a store of its own.
    private struct Scene {
        let directory: TemporaryDirectory
        let program: FilePath
        let patch: FilePath
        let environment: [String: String]

        init(name: String, buildID: String, options: [String] = []) throws {
            directory = try TemporaryDirectory()
            let build = try Program.compile("life", flags: ["-Wl,--build-id=0x\(buildID)"])
            program = try Program.copy(build, to: directory)
            patch = try Patch.build("life-fix", for: build, name: name, options: options)
            environment = [
                "HOTPATCH_STATE_DIR": directory.path.appending("state").string,
                "HOTPATCH_CONFIG_DIR": directory.path.appending("config").string,
                "HOTPATCH_RUN_DIR": directory.path.appending("run").string,
            ]
        }

        @discardableResult
        func tool(_ code: Int32, _ arguments: [String], says texts: [String] = []) throws -> String
        {
            let result = try Command.run(
                Tool.location.get().string, arguments, environment: environment)
            return try Tool.check(result, code, arguments, says: texts)
        }

        /// The rows about this scene's patch.
        func rows() throws -> [JSONCursor] {
            let text = try tool(0, ["status", "--format", "json"])
            let name = patch.stem ?? ""
            return try JSONCursor(JSONValue(parsing: Array(text.utf8), limit: 1 << 24))
                .member("patches").elements().filter { try $0.member("patch").string() == name }
        }

        func replaceProgram(buildID: String) throws {
            let other = try Program.compile("life", flags: ["-Wl,--build-id=0x\(buildID)"])
            #expect(
                try Command.run("cp", ["--remove-destination", other.string, program.string])
                    .succeeded)
        }
    }

    @Test func whatIsInstalledAndNotAppliedIsMissing() throws {
        let scene = try Scene(name: "status-missing", buildID: "e2e0000000000021")
        try scene.tool(0, ["install", "--no-apply", scene.patch.string])
        try scene.tool(
            0, ["status"],
            says: ["Installed, and nothing runs that it is for: status-missing", "No service runs"])
        let victim = try startVictim(scene.program)
        let missing = try #require(try scene.rows().first)
        #expect(try missing.member("pid").integer() == Int64(victim.pid))
        #expect(try missing.member("state").string() == "missing")
        #expect(try missing.member("reason").member("code").string() == "status.not-tried")
        try scene.tool(0, ["status", "--pid", "\(victim.pid)"], says: ["missing", "not applied"])
        try scene.tool(0, ["apply", scene.patch.string, "--pid", "\(victim.pid)"])
        let applied = try #require(try scene.rows().first)
        #expect(try applied.member("state").string() == "applied")
        #expect(try applied.member("installed").bool())
    }

    @Test func aRestartIsForetold() throws {
        let scene = try Scene(
            name: "status-restart", buildID: "e2e0000000000022",
            options: ["--fixed-in", "e2e0000000000023"])
        try scene.tool(0, ["install", "--no-apply", scene.patch.string])
        let victim = try startVictim(scene.program)
        try scene.tool(0, ["apply", scene.patch.string, "--pid", "\(victim.pid)"])
        func afterRestart() throws -> JSONCursor {
            try #require(try scene.rows().first).member("afterRestart")
        }
        #expect(try #require(try scene.rows().first).optionalMember("afterRestart") == nil)
        try scene.replaceProgram(buildID: "e2e0000000000023")
        #expect(try afterRestart().member("result").string() == "fixed")
        try scene.replaceProgram(buildID: "e2e0000000000024")
        #expect(try afterRestart().member("result").string() == "unfixed")
        try scene.tool(
            0, ["status", "--pid", "\(victim.pid)"], says: ["e2e000000000", "loses the fix"])
        #expect(unsafe unlink(scene.program.string) == 0)
        #expect(try afterRestart().member("result").string() == "unknown")
        #expect(try victim.ask("ask") == "new")
    }

    @Test func anotherBuildInTheSamePlaceIsTold() throws {
        let scene = try Scene(
            name: "status-other", buildID: "e2e0000000000027",
            options: ["--fixed-in", "e2e0000000000028"])
        try scene.tool(
            0, ["install", "--no-apply", "--path", scene.program.string, scene.patch.string])
        try scene.replaceProgram(buildID: "e2e0000000000028")
        let fixed = try startVictim(scene.program)
        #expect(try scene.rows().isEmpty)
        try scene.replaceProgram(buildID: "e2e0000000000029")
        let unfixed = try startVictim(scene.program)
        let row = try #require(try scene.rows().first)
        #expect(try row.member("pid").integer() == Int64(unfixed.pid))
        #expect(try row.member("state").string() == "other-build")
        #expect(try fixed.ask("ask") == "old")
    }

    /// A label must not change with every process; the numbers do.
    @Test func metricsHaveStableLabels() throws {
        let scene = try Scene(name: "status-metrics", buildID: "e2e0000000000025")
        try scene.tool(0, ["install", "--no-apply", scene.patch.string])
        let victims = [try startVictim(scene.program), try startVictim(scene.program)]
        try scene.tool(0, ["apply", scene.patch.string, "--pid", "\(victims[0].pid)"])
        let metrics = try scene.tool(0, ["status", "--format", "prometheus"])
        for state in ["applied", "missing"] {
            let sample =
                "hotpatch_processes{patch=\"status-metrics\",base=\"e2e0000000000025\","
                + "state=\"\(state)\"} 1\n"
            #expect(metrics.contains(sample), "\(metrics)")
        }
        #expect(metrics.contains("\nhotpatch_service_up 0\n"))
        for line in metrics.split(separator: "\n") where !line.hasPrefix("#") {
            let parts = line.split(separator: " ")
            #expect(parts.count == 2 && parts.last.flatMap { Int($0) } != nil, "\(line)")
        }
        try scene.tool(64, ["status", "--pid", "1", "--format", "prometheus"])
    }

    @Test func aStoreThatOthersMayWriteIsNotBelieved() throws {
        let scene = try Scene(name: "status-open", buildID: "e2e0000000000026")
        try scene.tool(0, ["install", "--no-apply", scene.patch.string])
        #expect(unsafe chmod(scene.environment["HOTPATCH_STATE_DIR"] ?? "", 0o777) == 0)
        let result = try Command.run(
            Tool.location.get().string, ["status"], environment: scene.environment)
        #expect(result.code == 0)
        #expect(result.errorOutput.contains("what is installed is not known"))
    }
}
