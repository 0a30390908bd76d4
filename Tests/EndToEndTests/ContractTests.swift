import Glibc
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// Callers of a local function rely on what the compiler saw of it: which
/// registers it leaves alone, and that it needs no aligned stack (gcc's
/// -fipa-ra, on at -O2). A patch keeps that by a thunk.
@Suite struct ContractTests {
    private func scene() throws -> (victim: Victim, patch: FilePath) {
        let program = try Program.compile("contract")
        let patch = try Patch.build("contract-fix", for: program)
        return (try startVictim(program), patch)
    }

    @Test func callersFindTheirRegistersAsTheyLeftThem() throws {
        let (victim, patch) = try scene()
        #expect(try victim.ask("weigh") == "7090")
        #expect(try victim.ask("align") == "91")
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("weigh") == "7090")
        #expect(try victim.ask("align") == "91")
        try Tool.expect(0, ["revert", "contract-fix", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("weigh") == "7090")
    }

    /// What the thunk is for: a patch that does not keep the registers corrupts
    /// its caller.
    @Test func withoutTheRegistersTheCallerIsCorrupted() throws {
        let (victim, patch) = try scene()
        let broken = try promisingLess(patch, EntryContract(preserve: [], alignStack: true))
        try Tool.expect(0, ["apply", broken.path.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("weigh") != "7090")
    }

    /// And one that does not align the stack faults at its first movaps.
    @Test func withoutAlignmentTheReplacementFaults() throws {
        let (victim, patch) = try scene()
        let broken = try promisingLess(patch, nil)
        try Tool.expect(0, ["apply", broken.path.string, "--pid", "\(victim.pid)"])
        try victim.send("align")
        #expect(try victim.waitForExit() == .killed(signal: SIGSEGV))
    }

    private func promisingLess(
        _ path: FilePath, _ contract: EntryContract?
    ) throws -> TemporaryPatch {
        var manifest = try PatchFile.read(path: path).manifest
        let found = try #require(manifest.functions.first?.contract)
        #expect(found.preserve.contains(.rsi))
        #expect(found.alignStack)
        manifest.functions[0].contract = contract
        return try TemporaryPatch(path, manifest: manifest, name: "broken")
    }
}
