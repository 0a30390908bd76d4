import Addresses
import ELFImage
import Glibc
import JSONText
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// Programs that make it hard to stop them, to write to them or to find their
/// files: they are patched, or refused, and tell themselves that they are unharmed.
///
/// The patches replace four functions on four pages of two objects, at one moment.
@Suite struct HardTargetsTests {
    /// A program that sings, with the patches for its voices.
    struct Choir {
        let victim: Victim
        let program: FilePath
        let patches: [String]
        var pid: String { "\(victim.pid)" }
        var target: [String] { ["--pid", pid, "--timeout", "60"] }

        /// - Parameter copy: of the library, for a test that removes it.
        init(_ name: String, _ arguments: [String] = [], copy: FilePath? = nil) throws {
            let pages = "-falign-functions=4096"
            let library =
                try copy
                ?? Program.compile("chorus-library", flags: ["-fPIC", "-shared", pages])
            let program = try Program.compile(name, flags: [library.string, pages])
            self.program = program
            patches = try [("upper", ["LEAD", "ALTO", "TENOR"]), ("lower", ["BASS"])].map {
                let flags = ["--", "-DVERSION=2"] + $1.map { "-D\($0)" }
                return try Patch.build(
                    "chorus-fix", for: $0 == "lower" ? library : program, name: $0,
                    options: flags
                ).string
            }
            victim = try startVictim(program, arguments)
        }

        func apply() throws { try Tool.expect(0, ["apply"] + patches + target) }
        func revert() throws { try Tool.expect(0, ["revert", "--all"] + target) }

        /// The numbers in the answer to a line.
        func numbers(_ line: String) throws -> [Int] {
            try victim.ask(line).split(separator: " ").compactMap { Int($0) }
        }

        /// Expects that every voice sings this version, and that no round was mixed.
        func expectVersion(
            _ version: Int, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let report = try numbers("report")
            #expect(
                report == Array(repeating: version, count: 4) + [0], sourceLocation: sourceLocation)
        }
    }

    // MARK: - Threads, children and signals

    /// Signals at 1 kHz, handlers on alternate stacks, and threads and children born
    /// all the time, some of which share the memory.
    @Test func aStorm() throws {
        let choir = try Choir("quartet", ["storm"])
        var last = try choir.numbers("storm")
        for _ in 0..<20 {
            try choir.apply()
            try choir.expectVersion(2)
            try choir.revert()
            try choir.expectVersion(1)
        }
        // Signals and each kind of birth went on, and no child failed.
        try wait(until: "every kind is born again") {
            let now = try choir.numbers("storm")
            return zip(now, last).dropLast().allSatisfy(>)
        }
        last = try choir.numbers("storm")
        #expect(last.last == 0)
    }

    /// The first thread has ended; the limit of address space leaves no room.
    @Test func noFirstThreadAndNoRoom() throws {
        let choir = try Choir("quartet", ["headless"])
        let limit = ["--pid", choir.pid, "--output", "SOFT,HARD", "--raw", "--as"]
        let set = try Command.run("prlimit", ["--pid", choir.pid, "--as=1000000:unlimited"])
        #expect(set.succeeded)
        let before = try Command.run("prlimit", limit).output
        #expect(before.contains("1000000"))
        for _ in 0..<3 {
            try choir.apply()
            try choir.expectVersion(2)
            try choir.revert()
            try choir.expectVersion(1)
        }
        #expect(try Command.run("prlimit", limit).output == before)
        #expect(try ProcessFacts(choir.victim).state() == "Z")
    }

    /// Somebody else runs in the memory and takes his time: a child of vfork or of
    /// posix_spawn before its execve, or a clone. He is waited for.
    @Test(arguments: ["vfork", "spawn", "clone"])
    func anotherProcessInTheMemory(_ kind: String) throws {
        let directory = try TemporaryDirectory()
        let choir = try Choir("lodger", [kind, directory.path.appending("gate").string])
        let before = try ProcessFacts(choir.victim).code()
        let patches = choir.patches
        for command in ["check", "apply"] {
            try Tool.expect(
                3, [command] + patches + ["--pid", choir.pid, "--timeout", "0"],
                says: ["nothing was changed"])
        }
        #expect(try ProcessFacts(choir.victim).code() == before)
        try choir.expectVersion(1)
        let apply = try Tool.start(["apply", "--verbose"] + patches + choir.target)
        try wait(until: "apply waits for the other process") {
            try apply.errorOutputSoFar().contains("not yet") || !apply.isRunning
        }
        try choir.expectVersion(1)
        #expect(try choir.victim.ask("open") == "the other ended well")
        try Tool.check(try apply.finish(), 0, ["apply"])
        try choir.expectVersion(2)
    }

    /// Stopped by a signal, with several threads: that it stays.
    @Test func aStoppedProgramOfSeveralThreads() throws {
        let choir = try Choir("quartet")
        let facts = ProcessFacts(choir.victim)
        choir.victim.signal(SIGSTOP)
        try wait(until: "the program is stopped") { try facts.state() == "T" }
        try choir.apply()
        try choir.revert()
        try choir.apply()
        for task in try Self.threads(of: choir) {
            #expect(try ProcessFacts(pid: task).state() == "T")
        }
        choir.victim.signal(SIGCONT)
        try choir.expectVersion(2)
    }

    /// A debugger may hold a thread that is not the first.
    @Test func aTracedThread() throws {
        let choir = try Choir("quartet")
        let second = try #require(try Self.threads(of: choir).last)
        #expect(second != choir.victim.pid)
        let tracer = try startVictim(try Program.compile("tracer"), ["\(second)"])
        let before = try ProcessFacts(choir.victim).code()
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command] + choir.patches + choir.target,
                says: ["thread \(second) of", "traced by process \(tracer.pid)"])
        }
        #expect(try ProcessFacts(choir.victim).code() == before)
        try choir.expectVersion(1)
        tracer.kill()
        try choir.apply()
        try choir.expectVersion(2)
    }

    private static func threads(of choir: Choir) throws -> [Int32] {
        try Command.run("ls", ["/proc/\(choir.pid)/task"]).output
            .split(separator: "\n").compactMap { Int32($0) }.sorted()
    }

    /// An upgrade has put another build in the library's place.
    @Test func aLibraryThatWasReplaced() throws {
        let directory = try TemporaryDirectory()
        let copy = directory.path.appending("library")
        let source = Fixture.sources.appending("endtoend/chorus-library.c")
        try Fixture.compile(
            source: source, to: copy,
            flags: ["-O2", "-fPIC", "-shared", "-falign-functions=4096"])
        let choir = try Choir("quartet", copy: copy)
        let upgrade = directory.path.appending("upgrade")
        try Fixture.compile(source: source, to: upgrade, flags: ["-O1", "-fPIC", "-shared"])
        try upgrade.rename(to: copy)
        try choir.apply()
        try choir.expectVersion(2)
        try choir.revert()
        try choir.expectVersion(1)
    }

    // MARK: - Code that is not as usual

    @Test(arguments: ["shared", "writable"]) func codeThatMustNotBeWritten(_ how: String) throws {
        let choir = try Choir("vain")
        #expect(try choir.victim.ask(how) == how)
        let looked = try choir.victim.ask("look")
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command] + choir.patches + choir.target,
                says: ["'alto'", "the mapping is \(how)", "switch.unsuitable-mapping"])
        }
        #expect(try choir.victim.ask("look") == looked)
        #expect(try choir.numbers("report") == [1, 1, 1, 1])
        #expect(try choir.victim.ask("ever").isEmpty)
    }

    /// It compares all its code with what it was, and sees the sites change and
    /// nothing else, not even for a moment.
    @Test func aProgramThatLooksAtItsCode() throws {
        let choir = try Choir("vain")
        let before = try choir.victim.ask("look")
        #expect(!before.contains(" "))
        for _ in 0..<5 {
            try choir.apply()
            let sites = try Self.sites(of: choir)
            #expect(sites.count == 4)
            let bytes = Set(sites.flatMap { $0..<($0 + 5) })
            let looked = try choir.victim.ask("look").split(separator: " ")
            let changed = looked.dropFirst().compactMap { UInt64($0, radix: 16) }
            #expect(looked.first.map(String.init) != before)
            #expect(bytes.isSuperset(of: changed))
            #expect(Set(changed).isSuperset(of: sites))
            #expect(try choir.numbers("report") == [2, 2, 2, 2])
            try choir.revert()
            #expect(try choir.victim.ask("look") == before)
            let ever = try choir.victim.ask("ever").split(separator: " ")
            #expect(bytes.isSuperset(of: ever.compactMap { UInt64($0, radix: 16) }))
        }
    }

    private static func sites(of choir: Choir) throws -> [UInt64] {
        let status = try Tool.json(["status", "--pid", choir.pid])
        return try status.member("patches").elements().flatMap { patch in
            try patch.member("functions").elements().compactMap {
                UInt64(try $0.member("site").string().dropFirst(2), radix: 16)
            }
        }
    }

    /// The kernel has put an int3 into the function, and goes on with what the file
    /// has there.
    @Test(.enabled(if: Probe.areAvailable, "uprobes take root"))
    func aFunctionWithAProbe() throws {
        let directory = try TemporaryDirectory()
        let program = try Program.copy(Program.compile("life"), to: directory)
        let patch = try Patch.build("life-fix", for: program)
        let victim = try startVictim(program)
        let target = ["--pid", "\(victim.pid)"]
        let probe = try Probe(.atEntry, of: "answer", in: program)
        #expect(try MappedFunction(patch, in: victim).read().first == 0xcc)
        #expect(try victim.ask("ask") == "old")
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command, patch.string] + target,
                says: ["'answer'", "found cc", "a probe", "switch.bytes-differ"])
        }
        #expect(try victim.ask("ask") == "old")
        try probe.remove()
        try Tool.expect(0, ["apply", patch.string] + target)
        #expect(try victim.ask("ask") == "new")
    }

    /// A probe that was set after the patch stands in the jump, and goes on in the middle
    /// of it. Nothing is written over it, and everything tells of it.
    @Test(.enabled(if: Probe.areAvailable, "uprobes take root"))
    func aProbeInADetour() throws {
        let directory = try TemporaryDirectory()
        let program = try Program.copy(Program.compile("life"), to: directory)
        let patch = try Patch.build("life-fix", for: program)
        let rival = try Patch.build("life-fix", for: program, name: "rival")
        let victim = try startVictim(program)
        let target = ["--pid", "\(victim.pid)"]
        let function = try MappedFunction(patch, in: victim)
        let original = try function.read()
        try Tool.expect(0, ["apply", patch.string] + target)
        let patched = try function.read()
        let probe = try Probe(.atEntry, of: "answer", in: program)
        let probed = try function.read()
        #expect(probed == [0xcc] + patched.dropFirst())
        try Tool.expect(0, ["status"] + target, says: ["mixed", "answer (breakpoint at 0x"])
        let status = try Tool.json(["status"] + target).member("patches").elements()
        let found = try #require(try status.first?.member("disturbances").elements().first)
        #expect(try found.member("breakpoint").bool())
        let changes = [
            ["revert", "life-fix"], ["revert", "--all"], ["check", rival.string],
            ["apply", rival.string],
        ]
        for command in changes {
            try Tool.expect(
                2, command + target, says: ["'answer'", "probe", "switch.breakpoint"])
        }
        #expect(try function.read() == probed)
        try probe.remove()
        // The kernel puts back what the file has there, and the jump is gone for good.
        let torn = try function.read()
        #expect(torn == Array(original[..<1] + patched[1...]))
        try Tool.expect(0, ["status"] + target, says: ["mixed", "answer (overwritten)"])
        for change in changes {
            try Tool.expect(
                2, change + target, says: ["'answer'", "was overwritten", "switch.detour-differs"])
        }
        #expect(try function.read() == torn)
    }

    // MARK: - Elsewhere, and at the end

    /// In a mount, pid and user namespace of its own, in a root of its own on a file
    /// system that nobody else sees.
    @Test(.enabled(if: Container.isAvailable, "namespaces can be forbidden"))
    func aProgramInAContainer() throws {
        let base = try Program.compile("life")
        let patch = try Patch.build("life-fix", for: base)
        let container = try Container(running: base)
        let facts = ProcessFacts(pid: container.pid)
        #expect(try facts.status("NSpid").split(separator: "\t").last == "1")
        let exe = FilePath("/proc/\(container.pid)/exe")
        #expect(try exe.bytes() == base.bytes())
        let target = ["--pid", "\(container.pid)"]
        for _ in 0..<2 {
            try Tool.expect(0, ["apply", patch.string] + target)
            #expect(try container.victim.ask("ask") == "new")
            try Tool.expect(0, ["revert", "life-fix"] + target)
            #expect(try container.victim.ask("ask") == "old")
        }
    }

    /// A signal is ending it, and the kernel writes its core. To stop it would be in
    /// vain, and would cut off a core that goes to a pipe.
    @Test(.enabled(if: dumpsToAFile, "the machine gives cores to a program"))
    func aProcessThatDumpsItsCore() throws {
        let directory = try TemporaryDirectory()
        let program = try Program.compile("dumper")
        let patch = try Patch.build("life-fix", for: program)
        let victim = try startVictim(program, [directory.path.string])
        #expect(try victim.ask("ask") == "old")
        try victim.send("dump")
        let facts = ProcessFacts(victim)
        try wait(until: "it dumps its core") { try facts.status("CoreDumping") == "1" }
        for command in ["check", "apply"] {
            try Tool.expect(
                5, [command, patch.string, "--pid", "\(victim.pid)"],
                says: ["writes its core", "process.dumping-core"])
        }
        try Tool.expect(5, ["recover", "--pid", "\(victim.pid)"], says: ["writes its core"])
        #expect(try facts.status("CoreDumping") == "1")
    }

    static let dumpsToAFile: Bool = {
        let pattern = try? FilePath("/proc/sys/kernel/core_pattern").lines().first
        return pattern.map { !$0.hasPrefix("|") && !$0.hasPrefix("/") && !$0.hasPrefix("@") }
            ?? false
    }()
}

/// A program in namespaces and a root of its own.
private struct Container {
    /// What started the program, and passes its input and output on.
    let victim: Victim
    /// The program, as this test knows it.
    let pid: Int32
    private let root: TemporaryDirectory

    private static let namespaces = ["--map-root-user", "--mount", "--pid", "--fork"]

    static let isAvailable: Bool = {
        let tried = try? Command.run("unshare", namespaces + ["true"])
        return tried?.succeeded ?? false
    }()

    init(running program: FilePath) throws {
        root = try TemporaryDirectory()
        let script = """
            set -e
            mount -t tmpfs none "$1"
            cd "$1"
            mkdir usr
            mount --rbind /usr usr
            for name in lib lib64; do ln -s usr/$name $name; done
            cp "$2" program
            exec chroot . /program
            """
        victim = try Victim(
            FilePath("/usr/bin/unshare"),
            Self.namespaces + [
                "--kill-child", "sh", "-c", script, "sh", root.path.string, program.string,
            ])
        _ = try victim.readLine(startingWith: "ready")
        let children = FilePath("/proc/\(victim.pid)/task/\(victim.pid)/children")
        let line = try #require(try children.lines().first)
        pid = try #require(Int32(line.prefix { $0 != " " }))
    }
}
