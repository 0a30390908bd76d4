import Glibc
import PatchStore
import SystemPackage
import TestSupport
import Testing
import Watching

/// Whatever starts is patched from its first constructor on. Each program ends with what
/// it was answered there and in main, one digit each: 22 is patched throughout.
@Suite(.serialized, .enabled(if: Ability.isRoot, Ability.reason))
struct StartTests {
    /// How many starts each test makes; more take their time.
    private static let count =
        unsafe getenv("HOTPATCH_STARTS").flatMap { Int(unsafe String(cString: $0)) } ?? 50

    @Test(arguments: [
        ("fork", 1), ("spawn", 1), ("thread", 1), ("fork", 8), ("spawn", 8), ("thread", 8),
    ])
    func everyStart(_ way: String, _ atOnce: Int) throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch()
        let starts = try scene.start(program, way, Self.count, atOnce: atOnce)
        #expect(starts.codes == [22: Self.count], said(watcher))
    }

    @Test(arguments: [1, 8])
    func aLinkedLibrary(_ atOnce: Int) throws {
        let scene = try Scene()
        let library = try scene.compile(
            "early-library", as: "libearly.so", flags: ["-shared", "-fPIC"])
        let user = try scene.compile(
            "early-user",
            flags: [
                "-DLINKED", "-L\(scene.directory.path)", "-learly", "-Wl,-rpath,$ORIGIN",
            ])
        try scene.install([(try scene.patch(for: library), library)])
        let watcher = try scene.watch()
        let starts = try scene.start(user, "fork", Self.count, atOnce: atOnce)
        #expect(starts.codes == [22: Self.count], said(watcher))
    }

    /// The program is led on to the C library, which its fix calls, and on that way
    /// opens the other library, which has a patch as well.
    @Test(arguments: [1, 8])
    func bothAtOnce(_ atOnce: Int) throws {
        let scene = try Scene()
        let library = try scene.compile(
            "early-library", as: "libearly.so", flags: ["-shared", "-fPIC"])
        let program = try scene.compile(
            "both", flags: ["-L\(scene.directory.path)", "-learly", "-Wl,-rpath,$ORIGIN"])
        try scene.install([
            (try scene.patch(for: program, fix: "both-fix"), program),
            (try scene.patch(for: library), library),
        ])
        let watcher = try scene.watch()
        let starts = try scene.start(program, "fork", Self.count, atOnce: atOnce)
        #expect(starts.codes == [22: Self.count], said(watcher))
    }

    @Test(arguments: [1, 8])
    func aLibraryThatIsLoadedLater(_ atOnce: Int) throws {
        let scene = try Scene()
        let library = try scene.compile(
            "early-library", as: "libearly.so", flags: ["-shared", "-fPIC"])
        let user = try scene.compile("early-user")
        try scene.install([(try scene.patch(for: library), library)])
        let watcher = try scene.watch()
        let starts = try scene.start(
            user, "spawn", Self.count, atOnce: atOnce, [library.string])
        #expect(starts.codes == [22: Self.count], said(watcher))
    }

    /// The file of a library is also read by those that do not load it.
    @Test func aLibraryThatIsOnlyRead() throws {
        let scene = try Scene()
        let library = try scene.compile(
            "early-library", as: "libearly.so", flags: ["-shared", "-fPIC"])
        try scene.install([(try scene.patch(for: library), library)])
        let watcher = try scene.watch()
        let copy = scene.directory.path.appending("copy")
        for _ in 0..<20 {
            let command = try Command.run("cp", [library.string, copy.string])
            #expect(command.succeeded, "\(command.errorOutput)")
        }
        #expect(try copy.bytes() == library.bytes())
        #expect(watcher.isRunning)
    }

    @Test func aStartThatFails() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch()
        #expect(try scene.start(program, "failing", 50, atOnce: 4).codes == [200: 50])
        #expect(try scene.start(program, "fork", 5).codes == [22: 5])
        #expect(scene.record?.refusals == [], said(watcher))
    }

    /// Another build beside it, of the same name even, is none of its business.
    @Test func programsWithoutPatches() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let folder = try scene.directory.makeDirectory()
        let other = folder.appending("early")
        try scene.compile("early", as: "other").rename(to: other)
        let watcher = try scene.watch()
        #expect(try scene.start(other, "fork", 20).codes == [11: 20])
        #expect(try scene.start(program, "fork", 5).codes == [22: 5])
        #expect(scene.record?.marks.map(\.path) == [program.string])
        #expect(watcher.isRunning)
    }

    /// The kernel asks about an interpreter while it holds the lock that tracing waits
    /// for. The script starts all the same.
    @Test func anInterpreterOfAScript() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let script = scene.directory.path.appending("script")
        try script.write(
            Array("#!\(program)\n".utf8), permissions: [.ownerReadWriteExecute])
        let watcher = try scene.watch()
        let starts = try scene.start(script, "fork", 20, atOnce: 2)
        #expect(starts.codes.values.reduce(0, +) == 20)
        #expect(starts.codes.keys.allSatisfy { [11, 12, 22].contains($0) }, "\(starts.codes)")
        #expect(starts.slowest < 1_000_000)
        #expect(watcher.isRunning)
    }
}
