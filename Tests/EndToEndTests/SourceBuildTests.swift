import Glibc
import JSONText
import SystemPackage
import TestSupport
import Testing

/// `build --source`: from a tree and a change of it to a patch that is live.
@Suite struct SourceBuildTests {
    private static let header = """
        /* How much is too much. */
        static inline int limited(int x) { return x > 100 ? 100 : x; }
        int parse(int x);
        """
    private static let parse = """
        #include "limits.h"
        #ifdef TOOL
        #define FACTOR 7
        #else
        #define FACTOR 2
        #endif
        int calls;
        __attribute__((noinline)) int scale(int x) { calls++; return x * FACTOR; }
        __attribute__((noinline)) int parse(int x) { return limited(scale(x)) + calls; }
        """
    private static let daemon = """
        #include <stdio.h>
        #include <stdlib.h>
        #include "limits.h"
        __attribute__((noinline)) static int twice(int x) { return limited(x) + limited(x + 1); }
        int main(void) {
            char line[64];
            puts("ready");
            fflush(stdout);
            while (fgets(line, sizeof line, stdin) != NULL) {
                int number = atoi(line);
                printf("%d %d\\n", parse(number), twice(number));
                fflush(stdout);
            }
            return 0;
        }
        """
    private static let tool = """
        #include "limits.h"
        int main(int c, char **v) { (void)v; return parse(c); }
        """
    /// The daemon's objects and the tool's are compiled of the same source, and the
    /// daemon's of the header are not made again by themselves when it changes.
    private static let makefile = """
        all: daemon tool
        daemon: main.o parse.o
        \t$(CC) -pie -o $@ main.o parse.o
        tool: tool.o tool-parse.o
        \t$(CC) -pie -o $@ tool.o tool-parse.o
        CFLAGS = -O2 -g -fPIE
        tool-parse.o: parse.c limits.h
        \t$(CC) $(CFLAGS) -DTOOL -c parse.c -o $@
        parse.o: parse.c
        clean:
        \trm -f *.o daemon tool

        """

    private let folder: TemporaryDirectory
    private let tree: FilePath
    private let change: FilePath
    private let base: FilePath
    private let output: FilePath

    init() throws {
        folder = try TemporaryDirectory()
        tree = try folder.makeDirectory()
        output = folder.path.appending("fix.hpatch")
        change = folder.path.appending("fix.diff")
        base = folder.path.appending("daemon")
        let name = tree.lastComponent?.string ?? ""
        for (file, text) in [
            ("limits.h", Self.header), ("parse.c", Self.parse), ("main.c", Self.daemon),
            ("tool.c", Self.tool), ("Makefile", Self.makefile),
        ] {
            _ = try folder.write(text + "\n", to: "\(name)/\(file)")
        }
        let made = try Command.run("make", ["-C", tree.string, "daemon", "CC=gcc"])
        try #require(made.succeeded, "\(made.errorOutput)")
        let moved = try Command.run("mv", [tree.appending("daemon").string, base.string])
        try #require(moved.succeeded)
        try #require(try Command.run("make", ["-C", tree.string, "clean"]).succeeded)
    }

    private func write(change text: String) throws {
        _ = try folder.write(text, to: "fix.diff")
    }

    private var arguments: [String] {
        [
            "build", "--base", base.string, "--source", tree.string, "--patch", change.string,
            "-o", output.string,
        ]
    }

    private static let limitChange = """
        --- a/limits.h
        +++ b/limits.h
        @@ -1,3 +1,3 @@
         /* How much is too much. */
        -static inline int limited(int x) { return x > 100 ? 100 : x; }
        +static inline int limited(int x) { return x > 50 ? 50 : x; }
         int parse(int x);

        """

    @Test func aChangedHeaderGoesLive() throws {
        try write(change: Self.limitChange)
        try Tool.expect(
            0, arguments,
            says: [
                "replaces  parse", "replaces  twice",
                "limited changes and is inlined into parse, twice.",
            ])
        let victim = try startVictim(base)
        #expect(try victim.ask("40") == "81 81")
        try Tool.expect(0, ["apply", output.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("40") == "52 81")
        #expect(try victim.ask("60") == "53 100")
        try Tool.expect(0, ["revert", "fix", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("40") == "84 81")
        // The sources are as they were.
        let left = try Command.run("ls", [tree.string])
        #expect(left.output == "Makefile\nlimits.h\nmain.c\nparse.c\ntool.c\n")
    }

    @Test func whatTheChangeDoesNotReachIsLeftAlone() throws {
        try write(
            change: """
                --- a/parse.c
                +++ b/parse.c
                @@ -8 +8 @@
                -__attribute__((noinline)) int scale(int x) { calls++; return x * FACTOR; }
                +__attribute__((noinline)) int scale(int x) { calls++; return x * FACTOR + 1; }

                """)
        let document = try Tool.json(arguments)
        let functions = try document.member("patch").member("functions").elements()
        #expect(try functions.map { try $0.member("symbol").string() } == ["scale"])
    }

    /// The makefile takes another object, and the new source comes along.
    @Test func aNewSourceComesAlong() throws {
        try write(
            change: """
                --- a/Makefile
                +++ b/Makefile
                @@ -2,2 +2,2 @@
                -daemon: main.o parse.o
                -\t$(CC) -pie -o $@ main.o parse.o
                +daemon: main.o parse.o extra.o
                +\t$(CC) -pie -o $@ main.o parse.o extra.o
                --- /dev/null
                +++ b/extra.c
                @@ -0,0 +1,2 @@
                +static int times;
                +int extra(int x) { return x + 1000 * ++times; }
                --- a/parse.c
                +++ b/parse.c
                @@ -8 +8,2 @@
                -__attribute__((noinline)) int scale(int x) { calls++; return x * FACTOR; }
                +int extra(int x);
                +__attribute__((noinline)) int scale(int x) { return extra(x); }

                """)
        try Tool.expect(
            0, arguments + ["--make", "make daemon"],
            says: ["replaces  scale", "adds      extra", "adds      times"])
        let victim = try startVictim(base)
        #expect(try victim.ask("40") == "81 81")
        try Tool.expect(0, ["apply", output.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("40") == "101 81")
    }

    /// The source that is added is compiled as the others, with what it includes.
    @Test func aSourceBesideTheChangeComesAlong() throws {
        try write(
            change: """
                --- a/parse.c
                +++ b/parse.c
                @@ -7,2 +7,2 @@
                -int calls;
                -__attribute__((noinline)) int scale(int x) { calls++; return x * FACTOR; }
                +int calls = 1000;
                +__attribute__((noinline)) int scale(int x) { ++calls; return FACTOR * x + 1; }

                """)
        let source = try folder.write(
            """
            #include <hotpatch.h>
            #include "limits.h"
            extern int calls;
            static void count_on(void) { calls += limited(1000) * 10; }
            HOTPATCH_ON_APPLY(count_on);
            """, to: "count.c")
        let whole = arguments + ["--with", source.string]
        try Tool.expect(2, whole, says: ["diff.changed-data", "--accept-data calls"])
        try Tool.expect(0, whole + ["--accept-data", "calls"], says: ["calls     count_on"])
        let victim = try startVictim(base)
        #expect(try victim.ask("10") == "21 21")
        try Tool.expect(0, ["apply", output.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("10") == "1023 21")
        // A name of the base would hide it.
        _ = try folder.write("int calls(void) { return 1; }", to: "count.c")
        try Tool.expect(1, whole, says: ["build.added-in-base", "'calls'"])
    }

    @Test func whatGoesWrongIsTold() throws {
        try write(change: Self.limitChange.replacing("x > 100", with: "x > 101"))
        try Tool.expect(1, arguments, says: ["apply the change", "[build.command-failed]"])
        try write(change: Self.limitChange)
        try Tool.expect(
            1, arguments + ["--make", "echo no rule; false"],
            says: ["no rule", "[build.command-failed]"])
        try Tool.expect(
            1, arguments + ["--make", "true"], says: ["make clean", "[build.nothing-compiled]"])
        try Tool.expect(
            1, arguments + ["--make", "make daemon", "--strip", "0"],
            says: ["[build.command-failed]"])
        try write(change: "Nothing.\n")
        try Tool.expect(1, arguments, says: ["[build.empty-change]"])
        try write(
            change: """
                --- a/Makefile
                +++ b/Makefile
                @@ -1 +1 @@
                -all: daemon tool
                +all: daemon

                """)
        try Tool.expect(
            1, arguments, says: ["Makefile", "[build.change-not-built]"])
        try Tool.expect(64, arguments + ["fix.c"])
        try Tool.expect(64, Array(arguments.dropLast(4)) + ["-o", output.string])
        #expect(try !Command.run("ls", [folder.path.string]).output.contains("hpatch"))
    }

    /// Compilers are found whatever they are called by.
    @Test(arguments: ["CC=/usr/bin/gcc", "CC=../compiler", "CC='env gcc'"])
    func aCompilerIsFoundByItsPath(_ choice: String) throws {
        let link = tree.appending("tools")
        #expect(try Command.run("mkdir", [link.string]).succeeded)
        #expect(
            try Command.run("ln", ["-s", "/usr/bin/gcc", link.appending("gcc").string]).succeeded)
        let choice = choice.replacing("../compiler", with: "./tools/gcc")
        try write(change: Self.limitChange)
        try Tool.expect(
            0, arguments + ["--make", "make daemon \(choice)"],
            says: ["replaces  parse", "replaces  twice"])
    }

    /// What the build itself starts and leaves is no longer waited for, nor ended.
    @Test func aBuildMayLeaveAServerBehind() throws {
        try write(change: Self.limitChange)
        let file = folder.path.appending("server")
        let make = "make daemon; [ -e \(file) ] || { sleep 300 & echo $! >\(file); }"
        try Tool.expect(0, arguments + ["--make", make], says: ["replaces  parse"])
        let server = try #require(try file.lines().first)
        let state = FilePath("/proc/\(server)/status")
        let tracer = try state.lines().first { $0.hasPrefix("TracerPid:") }
        #expect(tracer == "TracerPid:\t0")
        #expect(try Command.run("kill", [server]).succeeded)
    }

    @Test func aWorkFolderServesAgain() throws {
        let work = folder.path.appending("work")
        let count = folder.path.appending("count")
        let make = "make daemon; echo built >>\(count)"
        let again = arguments + ["--make", make, "--work", work.string]
        try write(change: Self.limitChange)
        try Tool.expect(0, again, says: ["replaces  parse", "replaces  twice"])
        #expect(try count.lines().count == 2)
        // Another change of the same sources: only what comes behind it is built.
        try write(change: Self.limitChange.replacing("x > 50 ? 50", with: "x > 60 ? 60"))
        try Tool.expect(0, again, says: ["replaces  parse", "replaces  twice"])
        #expect(try count.lines().count == 3)
        let victim = try startVictim(base)
        try Tool.expect(0, ["apply", output.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("40") == "61 81")
        // Other sources, or another command: all of it is done again.
        _ = try folder.write("\n", to: "\(tree.lastComponent?.string ?? "")/new.h")
        try Tool.expect(0, again, says: ["replaces  parse"])
        #expect(try count.lines().count == 5)
        try Tool.expect(0, again.dropLast(3) + [make + ";", "--work", work.string])
        #expect(try count.lines().count == 7)
        // The log of a build that fails is there as a whole.
        try Tool.expect(
            1, again.dropLast(3) + ["echo broken; false", "--work", work.string],
            says: ["broken", "\(work)/before.log"])
        #expect(try work.appending("before.log").lines() == ["broken"])
    }

    @Test func aWorkFolderIsNobodyElses() throws {
        try write(change: Self.limitChange)
        try Tool.expect(
            1, arguments + ["--work", folder.path.string], says: ["[build.work-folder]"])
        try Tool.expect(
            1, arguments + ["--work", tree.appending("work").string],
            says: ["inside of the sources", "[build.work-folder]"])
        try Tool.expect(
            64,
            [
                "build", "--base", base.string, "-o", output.string, "fix.c",
                "--work", "w",
            ])
        #expect(try Command.run("ls", [tree.string]).output.contains("limits.h"))
    }

    /// Everything that the build has started ends, and nothing stays.
    @Test func anInterruptedBuildLeavesNothing() throws {
        try write(change: Self.limitChange)
        let place = try folder.makeDirectory()
        let started = folder.path.appending("started")
        let make = "make daemon; (sleep 301; true) & echo $! >\(started); wait; true"
        let build = try RunningCommand(
            BuiltProduct.path("hotpatch").string, arguments + ["--make", make],
            environment: ["TMPDIR": place.string])
        try wait(until: "the build is at work") {
            unsafe access(started.string, F_OK) == 0 && (try? started.lines().count) == 1
        }
        build.signal(SIGINT)
        #expect(try build.finish().exit == .killed(signal: SIGINT))
        #expect(try Command.run("ls", ["-A", place.string]).output == "")
        let sleeper = try #require(try started.lines().first)
        #expect(try !Command.run("kill", ["-0", sleeper]).succeeded)
    }

    @Test func nothingIsLeftInTheTemporaryFolder() throws {
        let place = try folder.makeDirectory()
        try write(change: Self.limitChange)
        let path = try BuiltProduct.path("hotpatch").string
        let done = try Command.run(path, arguments, environment: ["TMPDIR": place.string])
        #expect(done.succeeded, "\(done.errorOutput)")
        #expect(try Command.run("ls", ["-A", place.string]).output == "")
    }
}
