import LiveProcess
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

    /// The second try of a failed execve, and the execve of another thread, are the
    /// same to who holds the process.
    @Test(arguments: ["fail", "thread", "fork", "vfork"])
    func whicheverWayItIsStarted(_ way: String) throws {
        let program = try StartedProgram()
        let (line, reports) = try program.start(
            way, with: [program.plainPatch()], arguments: ["one", "two words"])
        #expect(reports.map(\.summary) == ["applied"])
        #expect(line == "constructor 2 main 2 [one] [two words]")
    }

    /// memcpy and strlen are IFUNC symbols: which function they are is found out by
    /// the first call.
    @Test(arguments: [[], ["-no-pie"]])
    func withFunctionsOfLibc(_ flags: [String]) throws {
        let program = try StartedProgram(flags: flags)
        let patch = try program.patch(
            "libc",
            """
            #include <stdio.h>
            #include <stdlib.h>
            #include <string.h>

            int answer(const char *who) {
                volatile size_t length = strlen(who) + 1;
                char *copy = malloc(length);
                memcpy(copy, who, length);
                int same = strcmp(copy, who) == 0 && stdout != NULL;
                free(copy);
                return same ? 2 : -1;
            }

            """)
        let (line, reports) = try program.start(with: [patch])
        #expect(reports.map(\.summary) == ["applied"])
        #expect(line == "constructor 2 main 2")
    }

    @Test func withFunctionsOfItsOwnLibrary() throws {
        let program = try StartedProgram(withLibrary: true)
        let patch = try program.patch(
            "own",
            """
            int library_value(void);
            int answer(const char *who) { return who ? library_value() : 0; }

            """)
        let (line, reports) = try program.start(with: [patch])
        #expect(reports.map(\.summary) == ["applied"])
        #expect(line == "constructor 2 main 2 library 1 1")
    }

    /// What is preloaded comes first where symbols are looked up.
    @Test func withWhatIsPreloaded() throws {
        let program = try StartedProgram(withLibrary: true)
        let source = try program.folder.write(
            "int library_value(void) { return 7; }\n", to: "preload.c")
        let preloaded = program.folder.path.appending("preload.so")
        try Fixture.compile(source: source, to: preloaded, flags: ["-shared", "-fPIC"])
        let patch = try program.patch(
            "own",
            """
            int library_value(void);
            int answer(const char *who) { return who ? library_value() : 0; }

            """)
        let (line, reports) = try program.start(
            with: [patch], environment: ["LD_PRELOAD": preloaded.string])
        #expect(reports.map(\.summary) == ["applied"])
        #expect(line == "constructor 7 main 7 library 1 1")
    }

    @Test func itsLibrary() throws {
        let program = try StartedProgram(withLibrary: true)
        let patch = try program.patch(
            "library", "int library_answer(void) { return 2; }\n", of: program.library)
        let (line, reports) = try program.start(with: [patch])
        #expect(reports.map(\.summary) == ["applied"])
        #expect(line == "constructor 1 main 1 library 2 2")
    }

    /// The first needs libc, so that the second, which could go in at once, waits.
    @Test func aSeriesInItsOrder() throws {
        let program = try StartedProgram(withLibrary: true)
        let first = try program.patch(
            "first",
            """
            #include <string.h>
            int answer(const char *who) { return strlen(who) ? 2 : -1; }

            """)
        let library = try program.patch(
            "library", "int library_answer(void) { return 2; }\n", of: program.library)
        let (line, reports) = try program.start(
            with: [first, library, program.plainPatch(3)])
        #expect(reports.map(\.summary) == ["applied", "applied", "applied"])
        #expect(reports.map(\.patch.manifest.name) == ["first", "library", "plain-3"])
        #expect(line == "constructor 3 main 3 library 2 2")
    }

    /// What the program does not load is told, and does not keep the rest back.
    @Test(arguments: [[], ["-static"]])
    func aPatchOfAnotherProgram(_ flags: [String]) throws {
        let other = try StartedProgram(flags: ["-O1"])
        let program = try StartedProgram(flags: flags)
        let (line, reports) = try program.start(
            with: [other.plainPatch(), program.plainPatch(3)])
        #expect(line == "constructor 3 main 3")
        #expect(reports.last?.summary == "applied")
        guard case .failure(.baseNotMapped)? = reports.first?.outcome else {
            throw Errno.invalidArgument
        }
    }

    /// What builds on a patch that cannot be put in is not put in either.
    @Test func aSeriesWithoutItsFirst() throws {
        let program = try StartedProgram(withLibrary: true)
        let first = try program.patchOfOtherCode()
        let library = try program.patch(
            "library", "int library_answer(void) { return 2; }\n", of: program.library)
        let (line, reports) = try program.start(with: [first, library, program.plainPatch(3)])
        #expect(line == "constructor 1 main 1 library 2 2")
        #expect(reports[1].summary == "applied")
        for (report, text) in zip([reports[0], reports[2]], ["0x", "'plain-2'"]) {
            guard case .failure(let failure) = report.outcome else { throw Errno.invalidArgument }
            #expect("\(failure)".contains(text), "\(failure)")
        }
        #expect(reports[2].summary.hasPrefix("start.predecessor-missing"))
    }

    @Test func aScript() throws {
        let program = try StartedProgram()
        let script = try program.folder.write(
            "#!\(program.program) argument\n", to: "script")
        #expect(try Command.run("chmod", ["+x", script.string]).succeeded)
        let (line, reports) = try program.start(with: [program.plainPatch()], as: script)
        #expect(reports.map(\.summary) == ["applied"])
        #expect(line == "constructor 2 main 2 [argument] [\(script)]")
    }
}
