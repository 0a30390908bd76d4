import Addresses
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// Patches whose jumps go by way of padding that others would use too, as when one was
/// built against a stripped file and another was not.
@Suite struct PaddingTests {
    private struct Scene {
        let victim: Victim
        /// Both functions, each with the island that it has in this base.
        let one: FilePath
        let two: FilePath
        var target: [String] { ["--pid", "\(victim.pid)"] }

        init() throws {
            let program = try Program.compile("padding")
            one = try Self.patch("one", for: program)
            two = try Self.patch("two", for: program)
            victim = try startVictim(program)
        }

        private static func patch(_ function: String, for program: FilePath) throws -> FilePath {
            try Patch.build(
                "padding-fix", for: program, name: function,
                options: ["--", "-DCOUNT=\(function)"])
        }

        /// The same patch, called `name`, with another island.
        func moved(_ patch: FilePath, by distance: Int64, name: String) throws -> TemporaryPatch {
            var manifest = try PatchFile.read(path: patch).manifest
            let island = try #require(manifest.functions[0].island)
            manifest.functions[0].island = LinkAddress(
                rawValue: island.rawValue &+ UInt64(bitPattern: distance))
            return try TemporaryPatch(patch, manifest: manifest, name: name)
        }

        /// The program's own code.
        func text() throws -> [ProcessFacts.Code.Region] {
            try ProcessFacts(victim).code().regions.filter { $0.line.hasSuffix("/padding") }
        }

        func report() throws -> String { try victim.ask("report") }
    }

    private static let old = "one 3 two 3"

    @Test func aSetSharesNoPadding() throws {
        let scene = try Scene()
        let overlapping = try scene.moved(scene.two, by: -3, name: "overlapping")
        let code = try ProcessFacts(scene.victim).code()
        for command in ["check", "apply"] {
            try Tool.expect(
                2, [command, scene.one.string, overlapping.path.string] + scene.target,
                says: [
                    "'two' would need the padding at 0x", "the patch 'one' takes for 'one'",
                    "switch.padding-taken",
                ])
        }
        #expect(try ProcessFacts(scene.victim).code() == code)
        try Tool.expect(0, ["apply", scene.one.string, scene.two.string] + scene.target)
        #expect(try scene.report() == "one 103 two 103")
        try Tool.expect(0, ["revert", "--all"] + scene.target)
        #expect(try scene.report() == Self.old)
    }

    @Test func paddingThatIsTakenIsLeftAlone() throws {
        let scene = try Scene()
        let overlapping = try scene.moved(scene.two, by: -3, name: "overlapping")
        try Tool.expect(0, ["apply", scene.one.string] + scene.target)
        try Tool.expect(
            2, ["apply", overlapping.path.string] + scene.target,
            says: ["'two' would need the padding", "switch.padding-taken"])
        #expect(try scene.report() == "one 103 two 3")
        try Tool.expect(0, ["apply", scene.two.string] + scene.target)
        #expect(try scene.report() == "one 103 two 103")
        // What is out takes nothing.
        try Tool.expect(0, ["revert", "--all"] + scene.target)
        try Tool.expect(0, ["apply", overlapping.path.string] + scene.target)
        #expect(try scene.report() == "one 3 two 103")
    }

    /// One function, by way of one island and of another.
    @Test func patchesOnOneAnotherGoTheSameWay() throws {
        let scene = try Scene()
        let aside = try scene.moved(scene.one, by: 5, name: "aside")
        let text = try scene.text()
        for _ in 0..<2 {
            try Tool.expect(0, ["apply", scene.one.string] + scene.target)
            try Tool.expect(
                2, ["apply", aside.path.string] + scene.target,
                says: [
                    "'one' is replaced already by the patch 'one'", "by way of the padding at 0x",
                    "switch.other-padding",
                ])
            #expect(try scene.report() == "one 103 two 3")
            try Tool.expect(0, ["revert", "one"] + scene.target)
            try Tool.expect(0, ["apply", aside.path.string] + scene.target)
            #expect(try scene.report() == "one 103 two 3")
            let rows = try Tool.tsv(["status"] + scene.target)
            let states = Dictionary(
                rows.map { ($0["patch"] ?? "", $0["state"] ?? "") }, uniquingKeysWith: { $1 })
            #expect(states == ["one": "reverted", "aside": "applied"])
            try Tool.expect(
                2, ["apply", scene.one.string] + scene.target, says: ["switch.other-padding"])
            try Tool.expect(0, ["revert", "aside"] + scene.target)
            #expect(try scene.report() == Self.old)
        }
        #expect(!text.isEmpty)
        #expect(try scene.text() == text)
    }
}
