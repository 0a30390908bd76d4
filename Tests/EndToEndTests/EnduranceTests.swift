import JSONText
import SystemPackage
import TestSupport
import Testing

/// The sample daemon is patched and patched back under load, again and again.
@Suite struct EnduranceTests {
    private static let pairs = 50

    /// stationd with its library, and what keeps it busy, compiled by its own Makefile.
    private func compileSample(in directory: TemporaryDirectory) throws -> FilePath {
        let samples = Fixture.sources.removingLastComponent().removingLastComponent()
            .appending("samples")
        let copy = directory.path.appending("stationd")
        for command in [
            ["cp", "-r", samples.appending("stationd").string, copy.string],
            ["make", "-s", "-C", copy.string, "clean", "all"],
        ] {
            let result = try Command.run(command[0], Array(command.dropFirst()))
            try #require(result.succeeded, Comment(rawValue: result.errorOutput))
        }
        return copy
    }

    @Test func noRequestOfADaemonFails() throws {
        let directory = try TemporaryDirectory()
        let sample = try compileSample(in: directory)
        let build = sample.appending("build")
        let patch = directory.path.appending("bounds.hpatch")
        try Tool.expect(
            0,
            [
                "build", "--base", build.appending("stationd").string, "-o", patch.string,
                sample.appending("fixes/station-bounds.c").string,
            ])
        let daemon = try Victim(build.appending("stationd"), ["0", "4"])
        let announcement = try daemon.readLine()
        let port = try #require(
            announcement.split(whereSeparator: { $0 == " " || $0 == "," })
                .drop { $0 != "port" }.dropFirst().first.map(String.init))
        let load = try Victim(
            build.appending("load"),
            [
                port, "--connections", "2", "--until-eof", "--watch", "STATION 3",
                "--old", "DRAFT*", "--new", "ERR no station 3",
            ])
        _ = try load.readLine(startingWith: "load: 2 of 2")
        let client = try startVictim(try Program.compile("client"), [port])
        let mappings = try ProcessFacts(daemon).maps().count

        for _ in 0..<Self.pairs {
            try Tool.expect(0, ["apply", patch.string, "--pid", "\(daemon.pid)"])
            #expect(try client.ask("STATION 3") == "ERR no station 3")
            try Tool.expect(0, ["revert", "bounds", "--pid", "\(daemon.pid)"])
            #expect(try client.ask("STATION 3").hasPrefix("DRAFT"))
        }

        // A payload is code, and data that is not executable, with a gap between.
        #expect(try ProcessFacts(daemon).maps().count - mappings <= 3)
        #expect(try client.ask("STATS").hasSuffix("interrupted 0"))
        try expectNoFailure(load)
    }

    /// The clients saw the bug and the fix, and nothing else.
    private func expectNoFailure(_ load: Victim) throws {
        load.closeInput()
        let summary = JSONCursor(
            try JSONValue(parsing: Array(try load.readLine().utf8), limit: 4096))
        #expect(try summary.member("failed").integer() == 0)
        #expect(try summary.member("old").integer() > 0)
        #expect(try summary.member("new").integer() > 0)
        #expect(try load.waitForExit() == .exited(0))
    }
}
