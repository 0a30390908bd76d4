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

    /// What a service manager hears: sd_notify(3).
    @Test func itTellsTheManager() throws {
        let scene = try Scene()
        _ = try scene.patchedProgram()
        let socket = scene.directory.path.appending("notify")
        let manager = try Victim(
            try Fixture.compile("watching/manager", output: "manager"), [socket.string])
        #expect(try manager.readLine() == "ready")
        func hear(_ wanted: String) throws {
            while try !manager.readLine().contains(wanted) {}
        }
        let watcher = try scene.watch(
            environment: ["NOTIFY_SOCKET": socket.string, "WATCHDOG_USEC": "400000"])
        try hear("READY=1 STATUS=exec-permission: 1 bases, 1 files")
        try hear("WATCHDOG=1")
        watcher.signal(SIGHUP)
        try hear("RELOADING=1 MONOTONIC_USEC=")
        try hear("READY=1")
        watcher.signal(SIGTERM)
        try hear("STOPPING=1")
        #expect(try watcher.finish().code == 0)
    }

    /// Each patch that cannot be used is named and skipped, and the others are applied.
    @Test func aDamagedStore() throws {
        let scene = try Scene()
        let names = ["sound", "torn", "other", "writable", "missing"]
        let programs = try names.map { try scene.compile("early", as: $0) }
        let patches = try programs.map { try scene.patch(for: $0) }
        try scene.install(Array(zip(patches, programs)))
        let files = try patches.map { try scene.installedFile(of: $0) }
        try files[1].write(Array(try files[1].bytes().prefix(1000)))
        try files[2].write(try files[0].bytes())
        unsafe chmod(files[3].string, 0o666)
        try files[4].remove()

        let watcher = try scene.watch()
        #expect(try scene.start(programs[0], "fork", 5).codes == [22: 5])
        for program in programs.dropFirst() {
            #expect(try scene.start(program, "fork", 2).codes == [11: 2], "\(program)")
        }
        let said = try watcher.errorOutputSoFar()
        for file in files.dropFirst() { #expect(said.contains(file.string), "\(said)") }
        #expect(!said.contains(files[0].string))
        // A list that cannot be read changes nothing that is in force.
        try scene.locations.series.write(Array("{".utf8))
        watcher.signal(SIGHUP)
        try wait(until: "it says so") {
            try watcher.errorOutputSoFar().contains(scene.locations.series.string)
        }
        #expect(try scene.start(programs[0], "fork", 5).codes == [22: 5])
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
