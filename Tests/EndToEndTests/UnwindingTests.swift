import SystemPackage
import TestSupport
import Testing

/// Exceptions and cancellation that pass through functions which were replaced.
@Suite struct UnwindingTests {
    /// The changes of `Tests/Fixtures/endtoend/throws.cc`, and how it answers 7 and 8 then.
    static let changes = [
        (change: 1, seven: "7", eight: "caught new four"),
        (change: 2, seven: "1007", eight: "caught four"),
        (change: 4, seven: "7", eight: "now caught four"),
        (change: 7, seven: "1007", eight: "now caught new four"),
    ]

    @Test(arguments: changes) func exceptionsPassUnderLoad(
        _ change: Int, _ seven: String, _ eight: String
    ) throws {
        let (base, patch) = try Self.patch("throws.cc", change)
        try Self.exceptionsPass(base, patch, seven, eight)
    }

    /// The program and the C++ library have an unwinder each.
    @Test func exceptionsPassByTwoUnwinders() throws {
        let (base, patch) = try Self.patch("throws.cc", 7, linked: ["-static-libgcc"])
        try Self.exceptionsPass(base, patch, "1007", "now caught new four")
    }

    @Test func exceptionsPassInAStaticProgram() throws {
        let (base, patch) = try Self.patch(
            "throws.cc", 7, compiled: ["-fno-pie"], linked: ["-static", "-no-pie"])
        try Self.exceptionsPass(base, patch, "1007", "now caught new four")
    }

    @Test func aProgramThatThrowsIsStartedWithItsPatch() throws {
        let (base, patch) = try Self.patch("throws.cc", 7)
        let tool = try Tool.location.get()
        let victim = try Victim(tool, ["run", "--patch", patch.string, "--", base.string])
        _ = try victim.readLine(startingWith: "ready")
        #expect(try victim.ask("m") == "gone on")
        #expect(try victim.ask("8") == "now caught new four")
        #expect(try victim.ask("r") == "0")
    }

    private static func exceptionsPass(
        _ base: FilePath, _ patch: FilePath, _ seven: String, _ eight: String
    ) throws {
        let victim = try startVictim(base)
        for _ in 0..<2 {
            #expect(try victim.ask("7") == "7")
            #expect(try victim.ask("8") == "caught four")
            try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
            #expect(try victim.ask("m") == "gone on")
            #expect(try victim.ask("7") == seven)
            #expect(try victim.ask("8") == eight)
            try Tool.expect(0, ["revert", "change", "--pid", "\(victim.pid)"])
            #expect(try victim.ask("m") == "gone on")
        }
        #expect(try victim.ask("r") == "0")
    }

    @Test func aCancelledThreadPutsRightWhatItHas() throws {
        let (base, patch) = try Self.patch("cancelled.c", 1, compiled: ["-fPIE", "-fexceptions"])
        let victim = try startVictim(base)
        #expect(try victim.ask("") == "cancelled old caller")
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("") == "cancelled new caller")
        try Tool.expect(0, ["revert", "change", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("") == "cancelled old caller")
    }

    /// Without the tables nothing above the replacement would be found.
    @Test func withoutTheTablesItDoesNot() throws {
        let (base, patch) = try Self.patch(
            "cancelled.c", 1, compiled: ["-fPIE", "-fexceptions"],
            options: ["--accept-exceptions"])
        let victim = try startVictim(base)
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("") == "cancelled")
    }

    /// A program of `Tests/Fixtures/endtoend`, and a patch that `diff` makes of a change
    /// of it.
    static func patch(
        _ name: String, _ change: Int, compiled: [String] = ["-fPIE"],
        linked: [String] = ["-pie"], options: [String] = []
    ) throws -> (base: FilePath, patch: FilePath) {
        let fixture = "endtoend/\(name)"
        let flags = ["-O2", "-g", "-pthread"] + compiled
        let object = flags + ["-ffunction-sections", "-fdata-sections", "-c"]
        let base = try Fixture.compile(fixture, flags: flags + linked, output: "victim")
        let before = try Fixture.compile(fixture, flags: object, output: "victim.o")
        let after = try Fixture.compile(
            fixture, flags: object + ["-DCHANGE=\(change)"], output: "victim.o")
        let patch = try TemporaryDirectory.forWholeRun.get().makeDirectory()
            .appending("change.hpatch")
        try Tool.expect(
            0,
            [
                "diff", "--base", base.string, "--before", before.string, "--after", after.string,
                "-o", patch.string,
            ] + options)
        return (base, patch)
    }
}
