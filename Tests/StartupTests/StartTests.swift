import PatchFile
import Startup
import SystemPackage
import TestSupport
import Testing

/// Programs run patched from their first constructor on.
@Suite(.serialized) struct StartTests {
    @Test(arguments: [[], ["-no-pie"], ["-static"], ["-static-pie"]])
    func theProgramItself(_ flags: [String]) throws {
        let program = try StartedProgram(flags: flags)
        let (line, reports) = try program.start(with: [program.plainPatch()])
        #expect(reports.map(\.summary) == ["applied"])
        #expect(line == "constructor 2 main 2")
    }
}
