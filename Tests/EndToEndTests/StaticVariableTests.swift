import SystemPackage
import TestSupport
import Testing

/// Variables that functions keep, and that the compiler numbers where several have one
/// name.
@Suite struct StaticVariableTests {
    /// Both are inlined into one function, so that nothing but the debug information tells
    /// whose a variable is; and the change makes the compiler number them the other way.
    private static let source = """
        #include <stdio.h>
        #if CHANGE
        static inline int tock(void) { static int count = 20; return count += 3; }
        static inline int tick(void) { static int count = 10; return ++count; }
        #else
        static inline int tick(void) { static int count = 10; return ++count; }
        static inline int tock(void) { static int count = 20; return count += 2; }
        #endif
        #if CHANGE == 2
        static inline int tack(void) { static int count = 70; return count += 7; }
        #else
        static inline int tack(void) { return 0; }
        #endif
        __attribute__((noinline)) static void both(void) {
            printf("%d %d %d\\n", tick(), tock(), tack());
            fflush(stdout);
        }
        int main(void) {
            char line[16];
            puts("ready");
            fflush(stdout);
            while (fgets(line, sizeof line, stdin) != NULL) both();
            return 0;
        }
        """

    @Test(arguments: ["gcc", "clang"], [1, 2])
    func theyKeepWhatTheyCounted(_ compiler: String, _ change: Int) throws {
        let folder = try TemporaryDirectory()
        let source = try folder.write(Self.source, to: "clock.c")
        func compile(_ arguments: [String]) throws {
            let command = try Command.run(
                compiler, [source.string, "-O2", "-g", "-fPIE"] + arguments)
            try #require(command.succeeded, "\(command.errorOutput)")
        }
        let base = folder.path.appending("clock")
        try compile(["-DCHANGE=0", "-pie", "-o", base.string])
        let objects = try [0, change].map { change in
            let object = try folder.makeDirectory().appending("clock.o")
            try compile(
                ["-DCHANGE=\(change)", "-ffunction-sections", "-fdata-sections", "-c"]
                    + ["-o", object.string])
            return object.string
        }
        let output = folder.path.appending("clock.hpatch").string
        try Tool.expect(
            0,
            ["diff", "--base", base.string, "--before", objects[0], "--after", objects[1]]
                + ["-o", output])
        let victim = try startVictim(base)
        #expect(try victim.ask("") == "11 22 0")
        try Tool.expect(0, ["apply", output, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("") == "12 25 \(change == 2 ? 77 : 0)")
        try Tool.expect(0, ["revert", "clock", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("") == "13 27 0")
    }
}
