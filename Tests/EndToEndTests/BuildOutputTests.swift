import Glibc
import SystemPackage
import TestSupport
import Testing

/// What `build` must not replace: everything at the output's path but a patch.
@Suite struct BuildOutputTests {
    private let folder: TemporaryDirectory
    private let base: FilePath
    private let source: FilePath

    init() throws {
        folder = try TemporaryDirectory()
        base = folder.path.appending("daemon")
        source = try folder.write("int work(int a) { return a * 5; }", to: "fix.c")
        try Fixture.compile(
            source: try folder.write(
                """
                __attribute__((noinline)) int work(int a) { return a * 3 + a / 7; }
                int main(int c, char **v) { (void)v; return work(c); }
                """, to: "daemon.c"), to: base, flags: ["-O2", "-g"])
    }

    private func arguments(_ output: FilePath) -> [String] {
        ["build", "--base", base.string, "-o", output.string, source.string]
    }

    /// Which file it is, of which kind: replacing it gives another inode.
    private func identity(_ path: FilePath) throws -> [UInt64] {
        var status = stat()
        try #require(unsafe lstat(path.string, &status) == 0)
        return [UInt64(status.st_dev), UInt64(status.st_ino), UInt64(status.st_mode)]
    }

    /// Expects a refusal that leaves the file, and its bytes where it has any.
    private func expectKept(
        _ output: FilePath, bytesOf file: FilePath? = nil, code: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let before = (try identity(output), try file?.bytes())
        // It is told before the compiler runs: this one does not exist.
        try Tool.expect(
            2, arguments(output) + ["--compiler", "no-such-compiler"],
            says: [output.string, "another output", "[\(code)]"], sourceLocation: sourceLocation)
        #expect(try identity(output) == before.0, sourceLocation: sourceLocation)
        #expect(try file?.bytes() == before.1, sourceLocation: sourceLocation)
        let left = try Command.run("ls", ["-A", folder.path.string])
        #expect(!left.output.contains(".part"), sourceLocation: sourceLocation)
    }

    @Test func theBaseByAnyOfItsNames() throws {
        try expectKept(base, bytesOf: base, code: "build.output-is-input")
        let hard = folder.path.appending("hard.hpatch")
        try #require(unsafe link(base.string, hard.string) == 0)
        try expectKept(hard, bytesOf: base, code: "build.output-is-input")
        let soft = folder.path.appending("soft.hpatch")
        try #require(unsafe symlink(base.string, soft.string) == 0)
        try expectKept(soft, bytesOf: base, code: "build.output-is-input")
    }

    @Test func aSource() throws {
        try expectKept(source, bytesOf: source, code: "build.output-is-input")
    }

    @Test func filesThatAreNoPatch() throws {
        let notes = try folder.write("for later", to: "notes.txt")
        try expectKept(notes, bytesOf: notes, code: "patch.output-taken")
        let program = folder.path.appending("program")
        try program.write(try base.bytes())
        try expectKept(program, bytesOf: program, code: "patch.output-taken")
        let soft = folder.path.appending("soft.hpatch")
        try #require(unsafe symlink(notes.string, soft.string) == 0)
        try expectKept(soft, bytesOf: notes, code: "patch.output-taken")
    }

    @Test func whatIsNoRegularFile() throws {
        try expectKept(try folder.makeDirectory(), code: "patch.output-taken")
        let pipe = folder.path.appending("pipe")
        try #require(unsafe mkfifo(pipe.string, 0o600) == 0)
        try expectKept(pipe, code: "patch.output-taken")
        let soft = folder.path.appending("soft.hpatch")
        try #require(unsafe symlink(pipe.string, soft.string) == 0)
        try expectKept(soft, code: "patch.output-taken")
        let dangling = folder.path.appending("dangling.hpatch")
        try #require(unsafe symlink("absent", dangling.string) == 0)
        try expectKept(dangling, code: "patch.output-taken")
    }

    /// What comes into being while the compiler runs is kept too.
    @Test func aFileThatAppearsMeanwhile() throws {
        let output = folder.path.appending("fix.hpatch")
        let compiler = folder.path.appending("slow-cc")
        try compiler.write(
            Array("#!/bin/sh\nprintf mine > '\(output)'\nexec gcc \"$@\"\n".utf8),
            permissions: [.ownerReadWriteExecute])
        try Tool.expect(
            2, arguments(output) + ["--compiler", compiler.string],
            says: ["is no patch", "[patch.output-taken]"])
        #expect(try output.bytes() == Array("mine".utf8))
        let left = try Command.run("ls", ["-A", folder.path.string])
        #expect(!left.output.contains(".part"))
    }

    @Test func patchesAndEmptyFilesAreReplaced() throws {
        let output = try folder.write("", to: "fix.hpatch")
        try Tool.expect(0, arguments(output))
        try Tool.expect(0, arguments(output) + ["--description", "again"])
        try Tool.expect(0, ["show", output.string], says: ["again"])
    }
}
