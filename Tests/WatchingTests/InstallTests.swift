import Glibc
import SystemPackage
import TestSupport
import Testing

/// What is installed while the service runs is in force when the command ends: the very
/// next start is patched, and after `uninstall` it is not.
@Suite(.serialized, .enabled(if: Ability.isRoot, Ability.reason))
struct InstallTests {
    @Test func theNextStart() throws {
        let scene = try Scene()
        let program = try scene.compile("early")
        let patch = try scene.patch(for: program)
        let watcher = try scene.watch()
        for round in 0..<10 {
            // The second time it knows the file.
            let place = round == 0 ? ["--path", program.string] : []
            let installed = try scene.tool(["install", patch.string] + place)
            #expect(installed.succeeded, "\(installed.errorOutput)")
            #expect(try scene.start(program, "fork", 1).codes == [22: 1], said(watcher))
            let uninstalled = try scene.tool(["uninstall", "early-fix"])
            #expect(uninstalled.succeeded, "\(uninstalled.errorOutput)")
            #expect(try scene.start(program, "fork", 1).codes == [11: 1], said(watcher))
        }
    }

    /// A service that hangs keeps nobody waiting for long.
    @Test func aServiceThatDoesNotNotice() throws {
        let scene = try Scene()
        let program = try scene.compile("early")
        let patch = try scene.patch(for: program)
        let watcher = try scene.watch()
        watcher.signal(SIGSTOP)
        let result = try scene.tool(["install", patch.string, "--path", program.string])
        #expect(result.succeeded, "\(result.errorOutput)")
        // Its guardian has ended it, and nobody was left to wait for.
        #expect(try watcher.finish().exit == .killed(signal: SIGKILL))
    }
}
