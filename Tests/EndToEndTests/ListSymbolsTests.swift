import JSONText
import SystemPackage
import TestSupport
import Testing

/// `list-symbols` and `inspect`: the same facts in every form, of files and of
/// processes. What the verdicts are is tested in PatchabilityTests.
@Suite struct ListSymbolsTests {
    private static func entries() throws -> FilePath {
        try Fixture.compile("entries", flags: ["-O1"])
    }

    private func list(_ arguments: [String] = []) throws -> [JSONCursor] {
        try Tool.json(["list-symbols", Self.entries().string] + arguments)
            .member("functions").elements()
    }

    private func verdict(_ function: JSONCursor) throws -> String {
        try function.member("verdict").string()
    }

    @Test func everyFormTellsTheSame() throws {
        let functions = try list()
        let rows = try Tool.tsv(["list-symbols", Self.entries().string])
        #expect(rows.count == functions.count)
        for (row, function) in zip(rows, functions) {
            #expect(try row["address"] == function.member("address").string())
            #expect(try row["verdict"] == verdict(function))
        }
        try Tool.expect(
            0, ["list-symbols", Self.entries().string],
            says: [
                "loop_to_byte_one", "bytes 1–4 are a jump target", "at entry+4, behind endbr64",
            ])
        let islands = try Fixture.compile("islands", flags: ["-O1"]).string
        let site = try #require(
            try Tool.json(["list-symbols", islands, "before_int3"]).member("functions").elements()
                .first
        ).member("site")
        #expect(try site.member("size").integer() == 2)
        try Tool.expect(
            0, ["list-symbols", islands],
            says: ["2 bytes, by way of \(try site.member("island").string())"])
    }

    @Test func theSummaryCountsWhatTheListHas() throws {
        let functions = try list()
        let summary = try Tool.json(["list-symbols", Self.entries().string, "--summary"])
        #expect(try summary.member("functions").integer() == Int64(functions.count))
        let patchable = try functions.count { try verdict($0) == "patchable" }
        #expect(
            try summary.member("verdicts").member("patchable").integer() == Int64(patchable))
        let rows = try Tool.tsv(["list-symbols", Self.entries().string, "--summary"])
        #expect(
            rows.compactMap { $0["functions"].flatMap { Int($0) } }.reduce(0, +) == functions.count)
    }

    @Test func theSummaryTellsTheShares() throws {
        let path = try Fixture.compile("originals", flags: ["-O1"]).string
        let functions = try Tool.json(["list-symbols", path]).member("functions").elements()
        let share = try Tool.json(["list-symbols", path, "--summary"]).member("share")
        let replaceable = try functions.count { try verdict($0) == "patchable" }
        let callable = try functions.count { try $0.member("callable").bool() }
        #expect(0 < callable && callable < replaceable && replaceable < functions.count)
        #expect(try share.member("replaceable").integer() == Int64(replaceable))
        #expect(try share.member("callable").integer() == Int64(callable))
        let others = ["fragment", "plt-stub", "outside-code"]
        #expect(
            try share.member("functions").integer()
                == Int64(try functions.count { !others.contains(try verdict($0)) }))
        try Tool.expect(
            0, ["list-symbols", path, "--summary", "loops_to_*"],
            says: ["100.0 % of the 3 functions can be replaced, 0.0 % also called"])
        try Tool.expect(
            0, ["list-symbols", path, "loops_to_entry"],
            says: ["at the entry; cannot be called when replaced: loops_to_entry+0x9 jumps back"])
        try Tool.expect(
            0, ["inspect", path, "loops_to_entry"], says: ["cannot be called when replaced"])
    }

    @Test func everyFunctionCanBePatchedOrNot() throws {
        let patchable = try list(["--patchable"])
        let unpatchable = try list(["--unpatchable"])
        #expect(try patchable.allSatisfy { try verdict($0) == "patchable" })
        #expect(try unpatchable.allSatisfy { try verdict($0) != "patchable" })
        #expect(try patchable.count + unpatchable.count == list().count)
        try Tool.expect(
            64, ["list-symbols", Self.entries().string, "--patchable", "--unpatchable"],
            says: ["exclude"])
    }

    @Test func patternsAndOrders() throws {
        let names = try list(["behind_*"]).map {
            try $0.member("names").elements()[0].member("name").string()
        }
        #expect(
            Set(names) == ["behind_too_short", "behind_endbr", "behind_nops", "behind_immediate"])
        #expect(try list(["ehind_nop"]).count == 1)
        let sizes = try list(["--sort", "size"]).map { try $0.member("size").integer() }
        #expect(sizes == sizes.sorted(by: >))
        let rows = try Tool.tsv(["list-symbols", Self.entries().string, "--sort", "name"])
        #expect(rows.compactMap { $0["name"] } == rows.compactMap { $0["name"] }.sorted())
    }

    @Test func inspectShowsSiteAliasesAndObstacles() throws {
        let path = try Self.entries().string
        try Tool.expect(
            0, ["inspect", path, "behind_nops"],
            says: ["at entry+2, behind nops", "obstacle", "jumps to", "> 0x"])
        try Tool.expect(
            0, ["inspect", path, "alias"],
            says: ["short_with_padding", "can be called by what replaces it"])
        try Tool.expect(
            0, ["inspect", path, "parent"], says: ["parent.cold", "parent.constprop.0"])
        try Tool.expect(
            1, ["inspect", path, "alais"], says: ["did you mean alias", "function.none"])
        // Code that cannot be decoded, and a function without any.
        try Tool.expect(0, ["inspect", path, "not_an_instruction"], says: [".byte 0x6"])
        try Tool.expect(0, ["inspect", path, "in_data"], says: ["section .data"])
    }

    @Test func aProcessIsLookedAtWhereItIs() throws {
        let victim = try startVictim(
            try Program.compile(
                "kinds-main",
                flags: [
                    Fixture.sources.appending("endtoend/kinds-object.c").string
                ]))
        let target = "\(victim.pid)"
        let function = try #require(
            try Tool.json(["list-symbols", target, "discount"]).member("functions").elements().first
        )
        let address = try function.member("address").hexadecimalNumber()
        let there = try function.member("addressInProcess").hexadecimalNumber()
        #expect(there > address)
        #expect((there - address) % 4096 == 0)
        try Tool.expect(0, ["inspect", target, "discount"], says: ["same bytes"])
        try Tool.expect(
            0, ["list-symbols", target, "malloc", "--object", "libc.so.6"], says: ["malloc"])
        try Tool.expect(
            5, ["list-symbols", target, "--object", "libnothing.so"],
            says: ["has not mapped 'libnothing.so'", "libc.so.6"])
    }

    @Test func aStrippedProgramSaysSo() throws {
        let directory = try TemporaryDirectory()
        let program = try Program.copy(try Program.compile("life"), to: directory).string
        let symbols = directory.path.appending("life.symbols")
        for (tool, arguments) in [
            ("objcopy", ["--only-keep-debug", program, symbols.string]),
            ("strip", [program]),
            ("objcopy", ["--add-gnu-debuglink=\(symbols)", program]),
        ] {
            #expect(try Command.run(tool, arguments).succeeded)
        }
        // Its name is found again with the debug file.
        try Tool.expect(0, ["inspect", program, "answer"], says: ["answer at"])
        try symbols.remove()
        let texts = ["is stripped", "have no names", "-dbgsym", "'life.symbols'"]
        try Tool.expect(1, ["inspect", program, "answer"], says: texts)
        let result = try Tool.run(["list-symbols", program, "answer"])
        #expect(texts.allSatisfy(result.errorOutput.contains))
    }

    @Test func whatCannotBeListed() throws {
        try Tool.expect(1, ["list-symbols", "/etc/passwd"], says: ["not an ELF object"])
        let patch = try Patch.build("life-fix", for: try Program.compile("life")).string
        try Tool.expect(1, ["list-symbols", patch], says: ["hotpatch show \(patch)"])
        try Tool.expect(5, ["list-symbols", "/nowhere"], says: ["/nowhere"])
        try Tool.expect(5, ["list-symbols", "999999999"], says: ["999999999"])
        try Tool.expect(
            64, ["list-symbols", "/bin/ls", "--object", "libc.so.6"], says: ["process id"])
    }
}
