import Glibc
import PatchStore
import SystemPackage
import TestSupport
import Testing

@testable import Watching

/// The service follows what changes around it: the store, files, processes, and whoever
/// wants to switch it off.
@Suite(.serialized, .enabled(if: Ability.isRoot, Ability.reason))
struct ServiceTests {
    @Test func patchesComeAndGo() throws {
        let scene = try Scene()
        let program = try scene.compile("early")
        let watcher = try scene.watch()
        let victim = try Victim(program, ["serve"])
        #expect(try victim.readLine() == "ready")
        #expect(try victim.ask("which") == "11")

        try scene.install([(try scene.patch(for: program), program)])
        try wait(until: "the program is patched") { try victim.ask("which") == "12" }
        #expect(try scene.start(program, "fork", 5).codes == [22: 5])

        try scene.install([])
        try wait(until: "the mark is gone") { scene.record?.marks == [] }
        #expect(try scene.start(program, "fork", 5).codes == [11: 5])
        #expect(watcher.isRunning)
    }

    /// An upgrade renames another file over the program.
    @Test func theFileIsReplaced() throws {
        let scene = try Scene()
        let program = try scene.compile("early")
        let upgrade = try scene.compile("early", as: "upgrade")
        let foreign = try scene.compile("early", as: "foreign")
        try scene.install([
            (try scene.patch(for: program), program),
            (try scene.patch(for: upgrade), program),
        ])
        let watcher = try scene.watch()
        let first = try #require(scene.record?.marks.first { $0.path == program.string })
        try upgrade.rename(to: program)
        try wait(until: "the new file is marked") {
            scene.record?.marks.contains {
                $0.path == program.string && $0.buildID != first.buildID
            } ?? false
        }
        #expect(try scene.start(program, "fork", 20).codes == [22: 20])
        // And by a build that has no patches.
        try foreign.rename(to: program)
        try wait(until: "nothing is marked there") {
            scene.record?.marks.allSatisfy { $0.path != program.string } ?? false
        }
        #expect(try scene.start(program, "fork", 5).codes == [11: 5])
        #expect(watcher.isRunning)
    }

    /// A program that somebody traces is noted, and patched when it can be.
    @Test func aTracedProgramIsTriedAgain() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let victim = try Victim(program, ["serve"])
        #expect(try victim.readLine() == "ready")
        let tracer = try Fixture.compile("tracer")
        let debugger = try Victim(tracer, ["\(victim.pid)"])
        _ = try debugger.readLine()
        let watcher = try scene.watch()
        try wait(until: "the refusal is told") {
            scene.record?.refusals.contains { $0.process == victim.pid } ?? false
        }
        debugger.kill()
        try wait(until: "the program is patched") { try victim.ask("which") == "12" }
        try wait(until: "the refusal is gone") { scene.record?.refusals == [] }
        #expect(watcher.isRunning)
    }

    @Test func withoutTheKernelsHelp() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch(["--mode", "polling"])
        #expect(scene.record?.mode == .polling)
        let victim = try Victim(program, ["serve"])
        #expect(try victim.readLine() == "ready")
        try wait(until: "the program is patched") { try victim.ask("which") == "12" }
        #expect(watcher.isRunning)
    }

    @Test func whereTheKernelHoldsTheLock() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch(["--mode", "exec-permission-late"])
        let starts = try scene.start(program, "fork", 50, atOnce: 4)
        #expect(starts.codes.keys.allSatisfy { [11, 12, 22].contains($0) }, "\(starts.codes)")
        let victim = try Victim(program, ["serve"])
        #expect(try victim.readLine() == "ready")
        try wait(until: "the program is patched") {
            try victim.ask("which").hasSuffix("2")
        }
        #expect(watcher.isRunning)
    }

    @Test func aFileSwitchesItOff() throws {
        let scene = try Scene()
        let program = try scene.patchedProgram()
        let watcher = try scene.watch()
        #expect(try scene.start(program, "fork", 5).codes == [22: 5])
        try scene.locations.config.appending("disabled").write([])
        let end = try watcher.finish()
        #expect(end.code == 0)
        #expect(end.errorOutput.contains("switched off by the file"), "\(end.errorOutput)")
        #expect(try scene.start(program, "fork", 5).codes == [11: 5])

        let next = try scene.tool(["watch"])
        #expect(next.code == 0)
        #expect(scene.record?.mode == .disabled)
    }
}
