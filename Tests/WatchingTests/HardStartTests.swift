import Glibc
import PatchStore
import SystemPackage
import TestSupport
import Testing
import Watching

/// Programs that make it hard, and files that everything needs: what can be patched is,
/// and nothing is kept from starting.
@Suite(.serialized, .enabled(if: Ability.isRoot, Ability.reason))
struct HardStartTests {
    /// No program may be kept from starting for longer, in microseconds.
    private static let longestWait = 2_000_000

    /// Started by another user, it becomes root all the same.
    @Test func aSetuidProgram() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram(flags: ["-DREQUIRES_ROOT"])
        unsafe chmod(scene.directory.path.string, 0o755)
        unsafe chmod(program.string, 0o4755)
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        let before = try scene.start(program, "fork", 1, launcher: nobody)
        try #require(before.codes == [11: 1], "setuid does not work here")
        let watcher = try scene.watch()
        let starts = try scene.start(program, "fork", 20, atOnce: 4, launcher: nobody)
        #expect(starts.codes == [22: 20], said(watcher))
    }

    /// The service may do no more than its unit says.
    @Test func withTheRightsOfTheUnit() throws {
        let unit = Fixture.sources.removingLastComponent().removingLastComponent()
            .appending("packaging/hotpatch.service.in")
        let rights = try unit.lines().filter { $0.hasPrefix("CapabilityBoundingSet=") }
            .flatMap { $0.dropFirst("CapabilityBoundingSet=CAP_".count).split(separator: " ") }
            .map { "+" + $0.lowercased().replacing("cap_", with: "") }
        #expect(rights.count > 5)
        let scene = try Scene()
        let program = try scene.patchedProgram(flags: ["-DREQUIRES_ROOT"])
        unsafe chmod(scene.directory.path.string, 0o755)
        unsafe chmod(program.string, 0o4711)
        let watcher = try scene.watch(
            launcher: [
                "setpriv", "--bounding-set=-all," + rights.joined(separator: ","),
                "--inh-caps=-all", "--no-new-privs",
            ])
        #expect(scene.record?.mode == .execPermission, said(watcher))
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        let starts = try scene.start(program, "spawn", 20, atOnce: 4, launcher: nobody)
        #expect(starts.codes == [22: 20], said(watcher))
    }

    @Test(arguments: [["--pid", "--fork", "--mount", "--net"], ["--user", "--map-root-user"]])
    func inOtherNamespaces(_ which: [String]) throws {
        let launcher = ["unshare"] + which
        // A container may forbid it.
        guard try Command.run(launcher[0], which + ["true"]).succeeded else { return }
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch()
        let starts = try scene.start(program, "fork", 20, atOnce: 4, launcher: launcher)
        #expect(starts.codes == [22: 20], said(watcher))
    }

    @Test func withAllSignalsBlocked() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch()
        #expect(try scene.start(program, "blocked", 20).codes == [22: 20], said(watcher))
    }

    /// Whatever the service is just about to do with it.
    @Test func killedInTheMiddle() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch()
        let starts = try scene.start(program, "killed", 200, atOnce: 4)
        #expect(starts.codes.keys.allSatisfy { [22, 256 + 9].contains($0) }, "\(starts.codes)")
        #expect(starts.slowest < Self.longestWait)
        #expect(try scene.start(program, "fork", 5).codes == [22: 5], said(watcher))
    }

    /// Nobody can hold what somebody else traces.
    @Test func underATracer() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch()
        let starts = try scene.start(program, "traced", 50, atOnce: 4)
        #expect(starts.codes == [11: 50])
        #expect(starts.slowest < Self.longestWait)
        #expect(try scene.start(program, "fork", 5).codes == [22: 5], said(watcher))
    }

    /// More at once than are served at once.
    @Test func aCrowd() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch(launcher: ["prlimit", "--nofile=192:192"])
        #expect(scene.record?.mode == .execPermission)
        let starts = try scene.start(program, "spawn", 300, atOnce: 60)
        #expect(starts.codes.keys.allSatisfy { [11, 12, 22].contains($0) }, "\(starts.codes)")
        #expect(starts.codes.values.reduce(0, +) == 300)
        #expect(starts.slowest < Self.longestWait, said(watcher))
        #expect(try scene.start(program, "fork", 5).codes == [22: 5], said(watcher))
    }

    /// A question for which there is no descriptor is one that the kernel answers with no.
    @Test func tooFewDescriptors() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch(launcher: ["prlimit", "--nofile=100:100"])
        #expect(scene.record?.mode == .polling, said(watcher))
        #expect(try scene.start(program, "spawn", 20, atOnce: 20).codes.keys.contains(200) == false)
    }

    /// Who opens a library and takes his time is not held for that, nor is the service
    /// brought to its end by it.
    @Test func aReaderThatIsSlow() throws {
        let scene = try Scene()
        let library = try scene.compile(
            "early-library", as: "libearly.so", flags: ["-shared", "-fPIC"])
        let user = try scene.compile("early-user")
        try scene.install([(try scene.patch(for: library), library)])
        let watcher = try scene.watch()
        let dawdler = try Fixture.compile("watching/dawdler", output: "dawdler")
        let readers = try (0..<4).map { _ in
            try RunningCommand(dawdler.string, [library.string])
        }
        let starts = try scene.start(user, "spawn", 5, [library.string])
        #expect(starts.codes == [22: 5], said(watcher))
        for reader in readers { #expect(try reader.finish().succeeded) }
        #expect(watcher.isRunning, said(watcher))
    }

    /// A library that everything loads, the service itself included: its own threads are
    /// not kept waiting by their own questions.
    @Test func theCLibrary() throws {
        let scene = try Scene()
        let library = try scene.copy(of: "/lib/x86_64-linux-gnu/libc.so.6", as: "libc.so.6")
        try scene.install([(try scene.patch(for: library, fix: "libc-fix"), library)])
        let user = try scene.compile("libc-user")
        let here = ["LD_LIBRARY_PATH": scene.directory.path.string]
        #expect(try scene.start(user, "fork", 1, environment: here).codes == [11: 1])

        let old = try scene.watch(environment: here)
        for way in ["fork", "spawn"] {
            let starts = try scene.start(user, way, 50, atOnce: 4, environment: here)
            #expect(starts.codes == [22: 50], said(old))
            #expect(starts.slowest < Self.longestWait)
        }
        // The next one loads what the first one is asked about.
        let new = try scene.watch(environment: here)
        #expect(try old.finish().code == 0)
        #expect(try scene.start(user, "fork", 20, atOnce: 4, environment: here).codes == [22: 20])
        #expect(scene.record?.refusals == [], said(new))
    }

    /// The kernel opens it in the middle of each exec, and holds the lock that tracing
    /// waits for.
    @Test func theDynamicLinker() throws {
        let scene = try Scene()
        let linker = try scene.copy(of: "/lib64/ld-linux-x86-64.so.2", as: "linker.so")
        try scene.install([(try scene.patch(for: linker, fix: "linker-fix"), linker)])
        let program = try scene.compile("early", flags: ["-Wl,--dynamic-linker=\(linker)"])
        let watcher = try scene.watch()
        let starts = try scene.start(program, "fork", 50, atOnce: 4)
        #expect(starts.codes == [11: 50])
        #expect(starts.slowest < Self.longestWait)
        let victim = try Victim(program, ["serve"])
        #expect(try victim.readLine() == "ready")
        try wait(until: "it is patched, though not at its start") {
            scene.record?.caughtUp.contains { $0.process == victim.pid } ?? false
        }
        #expect(watcher.isRunning)
    }
}
