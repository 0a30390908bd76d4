import JSONText
import SystemPackage
import TestSupport
import Testing

/// Fixes that call what they replace, switched under load.
@Suite struct OriginalTests {
    private static let old = "work=22 chain=65 kind=55 ran=1"
    private static let patched = "work=1022 chain=69 kind=155 ran=1"
    private static let stacked = "work=5022 chain=69 kind=155 ran=1"

    private func expectGood(_ victim: Victim) throws {
        let count = try victim.ask("check")
        #expect(count.hasPrefix("good "))
        // The threads are all alive, and go on.
        try wait(until: "the threads have gone on") { try victim.ask("check") != count }
    }

    @Test(arguments: [
        ["-O2"], ["-O0"], ["-O2", "-fcf-protection=full"], ["-O2", "-no-pie"],
        ["-Os", "-fno-jump-tables"],
    ])
    func aFixCallsWhatItReplaces(_ flags: [String]) throws {
        let program = try Program.compile("original", flags: flags)
        let patch = try Patch.build("original-fix", for: program)
        let second = try Patch.build("original-second", for: program)
        try Tool.expect(0, ["show", patch.string], says: ["calls the original"])
        let victim = try startVictim(program)
        let target = ["--pid", "\(victim.pid)"]
        for _ in 0..<3 {
            #expect(try victim.ask("ask") == Self.old)
            try Tool.expect(0, ["apply", patch.string] + target)
            #expect(try victim.ask("ask") == Self.patched)
            try expectGood(victim)
            // The original is the program's, whatever is applied.
            try Tool.expect(0, ["apply", second.string] + target)
            #expect(try victim.ask("ask") == Self.stacked)
            try expectGood(victim)
            try Tool.expect(0, ["revert", "original-second"] + target)
            #expect(try victim.ask("ask") == Self.patched)
            try Tool.expect(0, ["revert", "original-fix"] + target)
            #expect(try victim.ask("ask") == Self.old)
            try expectGood(victim)
        }
    }

    /// Callers of a local function know which registers it leaves alone. The fix
    /// is entered by a thunk that keeps them, and calls the original by the psABI.
    @Test func anOriginalWhoseCallersRelyOnIt() throws {
        let program = try Program.compile("contract")
        let patch = try Patch.build("contract-original", for: program)
        let victim = try startVictim(program)
        #expect(try victim.ask("weigh") == "7090")
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("weigh") == "8090")
        #expect(try victim.ask("align") == "1091")
        try Tool.expect(0, ["revert", "contract-original", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("weigh") == "7090")
    }

    @Test func theManifestTellsOfOriginals() throws {
        let program = try Program.compile("original")
        let patch = try Patch.build("original-second", for: program)
        let document = try Tool.json(["show", patch.string])
        let function = try #require(
            try document.member("patch").member("functions").elements().first)
        #expect(try function.member("callsOriginal").bool())
    }
}
