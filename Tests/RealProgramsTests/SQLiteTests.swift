import SystemPackage
import TestSupport
import Testing

extension RealProgramsTests {
    /// A script of every kind of statement, through a shell that waits for its input.
    @Test func sqlite() throws {
        let folder = try TemporaryDirectory()
        let program = try RealPrograms.path("sqlite3/sqlite3")
        let database = folder.path.appending("database")
        // Line by line, so that the end of a script is seen; errors are results too.
        let shell = try Victim("sh", ["-c", "exec stdbuf -oL \(program) \(database) 2>&1"])
        #expect(try shell.ask("select 'ready';") == "ready")
        let script = RealPrograms.resource("sqlite3.sql")
        try expectNoDifference(in: shell.pid, of: program) {
            try shell.send(".read \(script)")
            var lines: [String] = []
            while lines.last != "end of the script" { lines.append(try shell.readLine()) }
            return lines
        }
        #expect(shell.isRunning)
    }
}
