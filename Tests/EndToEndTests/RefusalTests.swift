import Glibc
import SystemPackage
import TestSupport
import Testing

/// What cannot be done is refused with its exit code and a sentence, and the
/// process is as it was and runs on.
@Suite struct RefusalTests {
    /// A process that has the base, and a patch for it.
    private struct Scene {
        let program: FilePath
        let patch: FilePath
        let victim: Victim
        var target: [String] { ["--pid", "\(victim.pid)"] }

        init() throws {
            program = try Program.compile("life")
            patch = try Patch.build("life-fix", for: program)
            victim = try startVictim(program)
        }

        /// Both `check` and `apply` refuse, and nothing has changed.
        func expectRefusal(
            _ code: Int32, patch other: FilePath? = nil, _ options: [String] = [],
            says texts: [String], sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let before = try ProcessFacts(victim).code()
            for command in ["check", "apply"] {
                try Tool.expect(
                    code, [command, (other ?? patch).string] + options + target, says: texts,
                    sourceLocation: sourceLocation)
            }
            #expect(try ProcessFacts(victim).code() == before, sourceLocation: sourceLocation)
            #expect(try victim.ask("ask") == "old", sourceLocation: sourceLocation)
        }
    }

    private func expect(
        _ code: Int32, _ patch: FilePath, pid: Int32, says texts: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        for arguments in [
            ["check", patch.string], ["apply", patch.string], ["revert", "life-fix"], ["status"],
        ] {
            try Tool.expect(
                code, arguments + ["--pid", "\(pid)"], says: texts,
                sourceLocation: sourceLocation)
        }
    }

    // MARK: - Processes

    @Test func noSuchProcess() throws {
        let scene = try Scene()
        scene.victim.kill()
        try expect(5, scene.patch, pid: scene.victim.pid, says: ["no process", "process.none"])
    }

    @Test func aZombie() throws {
        let scene = try Scene()
        try scene.victim.send("zombie")
        let pid = try #require(Int32(try scene.victim.readLine(startingWith: "zombie ")))
        try expect(5, scene.patch, pid: pid, says: ["zombie"])
    }

    @Test(.enabled(if: kernelThread != nil)) func aKernelThread() throws {
        let scene = try Scene()
        let pid = try #require(Self.kernelThread)
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command, scene.patch.string, "--pid", "\(pid)"], says: ["kernel thread"])
        }
    }

    /// kthreadd is process 2 where kernel threads can be seen at all.
    static let kernelThread: Int32? = {
        let name = try? FilePath("/proc/2/comm").lines().first
        return name == "kthreadd" ? 2 : nil
    }()

    @Test func a32BitProgram() throws {
        let scene = try Scene()
        let small = try Fixture.compile(
            "endtoend/small", flags: ["-m32", "-nostdlib", "-static"], output: "small")
        let victim = try startVictim(small)
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command, scene.patch.string, "--pid", "\(victim.pid)"], says: ["64-bit x86"])
        }
        try Tool.expect(2, ["status", "--pid", "\(victim.pid)"], says: ["64-bit x86"])
        #expect(victim.isRunning)
    }

    @Test func aTracedProcess() throws {
        let scene = try Scene()
        let tracer = try startVictim(try Program.compile("tracer"), ["\(scene.victim.pid)"])
        try scene.expectRefusal(2, says: ["traced by process \(tracer.pid)", "('tracer')"])
        tracer.kill()
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
    }

    /// Run as user 65534, with copies of tool and patch that everybody may read.
    @Test(.enabled(if: getuid() == 0)) func anotherUsersProcess() throws {
        let scene = try Scene()
        let directory = try TemporaryDirectory()
        let copies = try [Tool.location.get(), scene.patch].map {
            try Program.copy($0, to: directory)
        }
        for file in copies + [directory.path] {
            #expect(unsafe chmod(file.string, 0o755) == 0)
        }
        let before = try ProcessFacts(scene.victim).code()
        for command in ["check", "apply"] {
            let arguments = [command, copies[1].string] + scene.target
            let result = try Command.run(
                "setpriv",
                ["--reuid", "65534", "--regid", "65534", "--clear-groups", copies[0].string]
                    + arguments)
            try Tool.check(
                result, 6, arguments, says: ["not permitted", "user 0", "run this as"])
        }
        #expect(try ProcessFacts(scene.victim).code() == before)
        #expect(try scene.victim.ask("ask") == "old")
    }

    @Test(arguments: [
        ("filter", "does not permit memfd_create"), ("errno", "does not permit memfd_create"),
        ("strict", "cannot be read"),
    ])
    func seccomp(_ mode: String, _ obstacle: String) throws {
        let scene = try Scene()
        #expect(try scene.victim.ask(mode).hasPrefix(mode))
        try scene.expectRefusal(2, says: ["runs under a seccomp filter", obstacle])
        try Tool.expect(0, ["apply", scene.patch.string, "--allow-seccomp"] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
        try Tool.expect(0, ["revert", "life-fix", "--allow-seccomp"] + scene.target)
        #expect(try scene.victim.ask("ask") == "old")
    }

    /// Where the filter permits what brings a patch, one is applied, but none that has
    /// code to be run in the program: that makes calls of its own.
    @Test func whatAFilterPermits() throws {
        let scene = try Scene()
        let once = try Patch.build("life-once", for: scene.program)
        #expect(try scene.victim.ask("harmless") == "harmless")
        try scene.expectRefusal(2, patch: once, says: ["[process.seccomp]", "run once"])
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
        try Tool.expect(0, ["revert", "life-fix"] + scene.target)
        try Tool.expect(0, ["apply", once.string, "--allow-seccomp"] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
    }

    // MARK: - Bases

    @Test func anotherBuildOfTheBase() throws {
        let scene = try Scene()
        let other = try Program.compile("life", flags: ["-O1"])
        let patch = try Patch.build("life-fix", for: other)
        try scene.expectRefusal(
            2, patch: patch, says: ["no object of the process is build", "life is build"])
    }

    @Test func aBaseThatIsNotLoaded() throws {
        let scene = try Scene()
        let library = try Program.compile("uses-library", flags: ["-fPIC", "-shared"])
        let patch = try Patch.build("uses/thread-local-library", for: library)
        try scene.expectRefusal(2, patch: patch, says: ["uses-library", "switch.base-not-loaded"])
    }

    @Test func changedBytes() throws {
        let scene = try Scene()
        let function = try MappedFunction(scene.patch, in: scene.victim)
        let original = try function.read()
        // int3 as a debugger sets it, on the last byte.
        try function.write([0xcc], at: original.count - 1)
        let before = try ProcessFacts(scene.victim).code()
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command, scene.patch.string] + scene.target,
                says: ["'answer'", "is not what the base has", "debugger"])
        }
        #expect(try ProcessFacts(scene.victim).code() == before)
        try function.write([original[original.count - 1]], at: original.count - 1)
        #expect(try scene.victim.ask("ask") == "old")
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
    }

    /// Another tool has led the function elsewhere since.
    @Test func anothersJump() throws {
        let scene = try Scene()
        let function = try MappedFunction(scene.patch, in: scene.victim)
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        let jump = try function.read()
        try function.write([0xe9, 0, 0, 0, 0], at: 0)
        try Tool.expect(0, ["status"] + scene.target, says: ["mixed", "answer (overwritten)"])
        for command in [["revert", "life-fix"], ["revert", "--all"]] {
            try Tool.expect(
                2, command + scene.target,
                says: ["'answer'", "e900000000", "switch.detour-differs"])
        }
        try function.write(jump, at: 0)
        try Tool.expect(0, ["revert", "--all"] + scene.target)
        #expect(try scene.victim.ask("ask") == "old")
    }

    @Test func otherPatchesInTheWay() throws {
        let scene = try Scene()
        let namesake = try Patch.build(
            "life-fix", for: scene.program, options: ["--description", "another patch"])
        try Tool.expect(0, ["apply", scene.patch.string] + scene.target)
        try Tool.expect(
            2, ["apply", namesake.string] + scene.target,
            says: ["another patch called 'life-fix'"])
        #expect(try scene.victim.ask("ask") == "new")
        try Tool.expect(
            2, ["revert", "rival"] + scene.target, says: ["no patch called 'rival'", "life-fix"])
        try Tool.expect(0, ["revert", "life-fix"] + scene.target)
        try Tool.expect(0, ["apply", namesake.string] + scene.target)
        #expect(try scene.victim.ask("ask") == "new")
    }

    // MARK: - Several processes

    @Test func oneOfSeveralCannotBeDone() throws {
        let scene = try Scene()
        let gone = try startVictim(scene.program)
        gone.kill()
        let result = try Tool.run(
            ["apply", scene.patch.string, "--pid", "\(scene.victim.pid)", "\(gone.pid)"])
        #expect(result.code == 4)
        #expect(result.output.contains("\(scene.victim.pid) (life): applied"))
        #expect(result.errorOutput.contains("no process \(gone.pid)"))
        #expect(try scene.victim.ask("ask") == "new")
    }

    // MARK: - Patch files and arguments

    @Test func filesThatAreNoPatches() throws {
        let scene = try Scene()
        let directory = try TemporaryDirectory()
        let empty = try directory.write("", to: "empty.hpatch")
        let cases: [(FilePath, String)] = [
            (directory.path.appending("missing.hpatch"), "No such file"),
            (directory.path, "not a regular file"),
            (FilePath("/dev/zero"), "not a regular file"),
            (empty, "empty.hpatch"),
            (scene.program, "without the section .hotpatch.manifest"),
        ]
        for (file, text) in cases {
            try scene.expectRefusal(1, patch: file, says: [text])
            try Tool.expect(1, ["show", file.string], says: [text])
        }
    }

    /// Cut off anywhere, or with any byte changed, a patch is refused or works:
    /// it harms neither the tool nor the process.
    @Test func brokenPatchFiles() throws {
        let scene = try Scene()
        let directory = try TemporaryDirectory()
        let file = directory.path.appending("broken.hpatch")
        let bytes = try scene.patch.bytes()
        for length in stride(from: 1, to: bytes.count, by: bytes.count / 24) {
            try file.write(Array(bytes[..<length]))
            try Tool.expect(1, ["apply", file.string] + scene.target)
        }
        for position in stride(from: 0, to: bytes.count, by: bytes.count / 48) {
            var changed = bytes
            changed[position] ^= 0xff
            try file.write(changed)
            let code = try Tool.run(["check", file.string] + scene.target).code
            #expect([0, 1, 2].contains(code), "byte \(position) changed: exit code \(code ?? -1)")
        }
        #expect(try scene.victim.ask("ask") == "old")
    }

    @Test(arguments: [
        [], ["--pid"], ["--pid", "0"], ["--pid", "-1"], ["--pid", "one"],
        ["--pid", "1", "--all"], ["--exe", "/bin/true", "--all"], ["--pid", "1", "--sideways"],
        ["--pid", "1", "--timeout", "-1"], ["--pid", "1", "--format", "xml"],
    ])
    func wrongUsage(_ arguments: [String]) throws {
        let result = try Tool.run(["apply", "x.hpatch"] + arguments)
        #expect(result.code == 64)
        #expect(result.output.isEmpty)
        #expect(result.errorOutput.contains("Usage:"))
    }

    @Test func wrongUsageOfRevert() throws {
        for arguments in [[], ["--pid", "1"], ["fix"], ["--all"], ["fix", "--all", "--pid", "1"]] {
            #expect(try Tool.run(["revert"] + arguments).code == 64)
        }
        #expect(try Tool.run(["nonsense"]).code == 64)
        #expect(try Tool.run(["--version"]).code == 0)
    }
}
