import Glibc
import JSONText
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// `build` and `show` as people and programs use them.
@Suite struct BuildCommandTests {
    private static let daemon = """
        static volatile int level = 2;
        __attribute__((noinline)) static int leaf(int x) { return x * 3 + 1; }
        __attribute__((noinline)) int work(int a, int b) { return leaf(a) + a * b + level; }
        int main(int c, char **v) { (void)v; return work(c, c); }
        """
    private static let fix = """
        #include <stdio.h>
        extern volatile int level;
        #ifdef LARGE
        const char table[65536] = {1};
        #endif
        static int helper(int x) { return x + EXTRA; }
        int leaf(int x) { puts("leaf"); return helper(x) + level; }
        """

    private let folder: TemporaryDirectory
    private let base: FilePath
    private let source: FilePath
    private let output: FilePath

    init() throws {
        folder = try TemporaryDirectory()
        base = folder.path.appending("daemon")
        output = folder.path.appending("fix.hpatch")
        source = try folder.write(Self.fix, to: "fix.c")
        try Fixture.compile(
            source: try folder.write(Self.daemon, to: "daemon.c"), to: base, flags: ["-O2", "-g"])
    }

    private var arguments: [String] {
        ["build", "--base", base.string, "-o", output.string, source.string]
    }

    private let flags = ["--", "-DEXTRA=4", "-O1"]

    @Test func whatIsMadeIsShown() throws {
        try Tool.expect(
            0, arguments + flags,
            says: [
                "Made \(output) for daemon", "replaces  leaf", "static in daemon.c", "keeps",
                "level",
            ])
        try Tool.expect(
            0, ["show", output.string],
            says: ["base-kind", "position-independent program", "replaces  leaf", "puts@GLIBC"])
    }

    @Test func allFormatsCarryTheSameFacts() throws {
        try Tool.expect(
            0,
            arguments + [
                "--version-string", "1.2", "--description", "Fixes it.", "--reference", "CVE-1",
                "--reference", "CVE-2", "--name", "cve-fix",
            ] + flags)
        let document = try Tool.json(["show", output.string])
        let patch = try document.member("patch")
        #expect(try patch.member("name").string() == "cve-fix")
        #expect(
            try patch.member("references").elements().map { try $0.string() } == ["CVE-1", "CVE-2"])
        let function = try #require(try patch.member("functions").elements().first)
        let rows = try Tool.tsv(["show", output.string])
        let facts = Dictionary(
            rows.filter { $0["what"] == "patch" }.map { ($0["name"] ?? "", $0["detail"] ?? "") },
            uniquingKeysWith: { first, _ in first })
        #expect(facts["version"] == "1.2" && facts["description"] == "Fixes it.")
        #expect(facts["digest"] == (try document.member("digest").string()))
        let replaced = try #require(rows.first { $0["what"] == "replaces" })
        #expect(replaced["address"] == (try function.member("address").string()))
        #expect(replaced["size"] == "\(try function.member("size").integer())")
    }

    @Test func whatAPatchAddsIsToldTheSameByBothCommands() throws {
        let larger = arguments + ["--", "-DEXTRA=4", "-DLARGE", "-O0"]
        let made = try Tool.expect(0, larger)
        let shown = try Tool.expect(0, ["show", output.string])
        let rows = made.split(separator: "\n").filter { $0.hasPrefix("adds ") }
        #expect(rows.count == 2)
        #expect(rows == shown.split(separator: "\n").filter { $0.hasPrefix("adds ") })
        let added = try Tool.tsv(["show", output.string]).filter { $0["what"] == "adds" }
        #expect(added.map { $0["name"] } == ["helper", "table"])
        #expect(added.map { $0["kind"] } == ["function", "constant"])
        #expect(added.last?["size"] == "65536")
        let elements = try Tool.json(["show", output.string]).member("added").elements()
        #expect(try elements.map { try $0.member("name").string() } == ["helper", "table"])
        #expect(try elements.last?.member("size").integer() == 65536)
    }

    @Test func exitCodesTellWhatWentWrong() throws {
        try Tool.expect(1, arguments, says: ["EXTRA", "[build.compiler-failed]"])
        try Tool.expect(64, arguments + ["--pick", "leaf"])
        try Tool.expect(64, arguments + ["--name", "../fix"])
        let other = try folder.write("int absent(int x) { return x; }", to: "other.c")
        try Tool.expect(
            1, ["build", "--base", base.string, "-o", output.string, other.string],
            says: ["'absent'", "[build.no-replacement]"])
        let thread = try folder.write(
            "static __thread int slot; int leaf(int x) { return slot += x; }", to: "thread.c")
        try Tool.expect(
            2, ["build", "--base", base.string, "-o", output.string, thread.string],
            says: ["thread-local", "[build.thread-local]"])
        try Tool.expect(1, ["show", base.string], says: ["[patch.no-manifest]"])
        let left = try Command.run("ls", ["-A", folder.path.string])
        #expect(!left.output.contains("hpatch"))
    }

    @Test func warningsGoToStandardErrorAndIntoTheDocument() throws {
        let result = try Tool.run(arguments + flags)
        #expect(result.errorOutput.contains("[local-function]"))
        #expect(!result.output.contains("warning"))
        let document = try Tool.json(arguments + ["--compiler-flag=-DEXTRA=4"])
        let codes = try document.member("warnings").elements().map {
            try $0.member("code").string()
        }
        #expect(codes == ["local-function"])
    }

    @Test func theCompilerOfTheEnvironmentMayHaveArguments() throws {
        let path = try BuiltProduct.path("hotpatch").string
        let result = try Command.run(
            path, arguments, environment: ["CC": "clang -DEXTRA=3 -O1"])
        #expect(result.succeeded, "\(result.errorOutput)")
        let absent = try Command.run(path, arguments, environment: ["CC": "no-such-cc"])
        #expect(absent.code == 1 && absent.errorOutput.contains("[build.compiler-missing]"))
    }

    // MARK: - Nothing is left

    private func leftovers(in place: FilePath) throws -> String {
        try Command.run("ls", ["-A", place.string]).output
    }

    @Test func temporaryFilesGoAway() throws {
        let place = try folder.makeDirectory()
        let path = try BuiltProduct.path("hotpatch").string
        let done = try Command.run(
            path, arguments + flags, environment: ["TMPDIR": place.string])
        #expect(done.succeeded, "\(done.errorOutput)")
        let failed = try Command.run(path, arguments, environment: ["TMPDIR": place.string])
        #expect(failed.code == 1)
        #expect(try leftovers(in: place) == "")
    }

    @Test func aBuildThatIsInterruptedLeavesNothing() throws {
        let place = try folder.makeDirectory()
        // Answers the question what it is, and hangs when it is to compile.
        let compiler = folder.path.appending("slow-cc")
        try compiler.write(
            Array(
                "#!/bin/sh\ncase \"$*\" in *-dM*) exec gcc \"$@\";; esac\nexec sleep 1000\n".utf8),
            permissions: [.ownerReadWriteExecute])
        let running = try RunningCommand(
            try BuiltProduct.path("hotpatch").string,
            arguments + ["--compiler", compiler.string], environment: ["TMPDIR": place.string])
        let children = FilePath("/proc/\(running.pid)/task/\(running.pid)/children")
        try wait(until: "the compiler sleeps") {
            guard let child = try children.lines().first?.split(separator: " ").first else {
                return false
            }
            // It may have ended in between.
            let name = (try? FilePath("/proc/\(child)/comm").lines().first) ?? ""
            return name == "sleep"
        }
        #expect(try leftovers(in: place) != "")
        running.signal(SIGTERM)
        #expect(try running.finish().exit == .killed(signal: SIGTERM))
        #expect(try leftovers(in: place) == "")
    }

    @Test(.enabled(if: geteuid() == 0, "mounting a small file system takes root"))
    func aFullDiskIsAnError() throws {
        let place = try folder.makeDirectory()
        let script = """
            mount -t tmpfs -o size=4k none "$1" || exit 99
            "$2" build --base "$3" -o "$1/fix.hpatch" "$4" -- -DEXTRA=1 -DLARGE
            echo "code $?"
            ls -A "$1"
            """
        let result = try Command.run(
            "unshare",
            [
                "-m", "sh", "-c", script, "sh", place.string,
                try BuiltProduct.path("hotpatch").string, base.string, source.string,
            ])
        try #require(result.code != 99, "\(result.errorOutput)")
        #expect(result.output == "code 1\n", "\(result.errorOutput)")
        #expect(result.errorOutput.contains("No space left on device"), "\(result.errorOutput)")
    }
}
