import Addresses
import ELFImage
import SystemPackage
import TestSupport
import Testing

@testable import Patchability

/// Tests/Fixtures/entries.c: a function for each thing that an entry can be.
@Suite struct EntryTests {
    private let catalog: FunctionCatalog

    init() throws {
        let path = try Fixture.compile("entries", flags: ["-O1"])
        catalog = try FunctionCatalog(try ELFImage.open(path: path))
    }

    private func function(_ name: String) throws -> FunctionRecord {
        let found = catalog.functions(named: name)
        try #require(found.count == 1, "\(name)")
        return found[0]
    }

    @Test(arguments: [
        ("loop_to_entry", 0, 0), ("call_fills_site", 0, 0), ("short_with_padding", 0, 2),
        ("behind_too_short", 0, 0), ("outer", 0, 0), ("inner", 0, 0), ("without_size", 0, 0),
        ("jumps_there", 0, 0), ("takes_address", 0, 0), ("table_leads_elsewhere", 0, 0),
        ("behind_endbr", 4, 0), ("behind_nops", 2, 0), ("at_nops", 0, 0),
        ("immediate_like_jump", 0, 0), ("behind_immediate", 0, 0), ("parent", 0, 0),
        ("parent.constprop.0", 0, 0), ("main", 0, 0),
    ])
    func patchable(_ name: String, offset: Int, padding: Int) throws {
        let function = try function(name)
        let site = try #require(function.verdict.site, "\(name): \(function.verdict)")
        #expect(site.offset == offset)
        #expect(site.paddingBytes == padding)
        #expect(site.address == function.address.advanced(by: UInt64(offset)))
        #expect(site.followsEndbr64 == (name == "behind_endbr"))
    }

    @Test(
        arguments: [
            ("loop_to_byte_one", .jumpIntoSite), ("jumped_into", .jumpIntoSite),
            ("trap_returns_inside", .returnIntoSite), ("too_short", .tooShort),
            ("label_inside", .labelInSite),
            ("not_an_instruction", .undecodable), ("address_taken", .addressInSite),
            ("pointed_to", .pointerIntoSite), ("table_leads_inside", .tableIntoSite),
            ("parent.cold", .fragment), ("in_data", .outsideCode), ("chosen", .ifuncResolver),
            ("puts@plt", .pltStub), ("chosen@plt", .pltStub),
        ] as [(String, VerdictCode)])
    func unpatchable(_ name: String, _ code: VerdictCode) throws {
        let function = try function(name)
        #expect(function.verdict.code == code, "\(function.verdict)")
        #expect(function.verdict.refusal?.code == code)
    }

    @Test func evidenceNamesThePlace() throws {
        let start = try function("jumped_into").address
        guard
            case .unpatchable(.jumpIntoSite(let from, let target, true)) =
                try function("jumped_into").verdict
        else {
            Issue.record("not a certain jump")
            return
        }
        #expect(from.description == "jumps_there+0x2")
        #expect(target == start.advanced(by: 1))

        guard
            case .unpatchable(.tableIntoSite(_, let entry, let user, _)) =
                try function("table_leads_inside").verdict
        else {
            Issue.record("not a table")
            return
        }
        #expect(entry == 1)
        #expect(user.function == "table_leads_inside")

        #expect(
            try function("label_inside").verdict.refusal?.description.contains("the_label") == true)
        #expect(
            try function("too_short").verdict.refusal
                == .tooShort(available: 1, next: try function("behind_too_short").address))
    }

    @Test func aliasesShareOneVerdict() throws {
        let record = try function("alias")
        #expect(Set(record.names.map(\.text)) == ["alias", "short_with_padding"])
        #expect(record == (try function("short_with_padding")))
        #expect(try function("chosen").names.contains { $0.text == "resolve" })
    }

    @Test func clonesAndPartsBelongToTheirFunction() throws {
        #expect(
            Set(catalog.clones(of: "parent").compactMap(\.name))
                == ["parent.cold", "parent.constprop.0"])
        #expect(try function("parent.constprop.0").kind == .clone(of: "parent"))
        #expect(try function("parent.cold").kind == .fragment(of: "parent"))
        #expect(try function("parent.cold").verdict.refusal == .fragment(of: "parent"))
    }

    @Test func everyAddressOnce() {
        let addresses = catalog.map(\.address)
        #expect(addresses == addresses.sorted())
        #expect(Set(addresses).count == addresses.count)
        #expect(catalog.summary.values.reduce(0, +) == catalog.count)
        for record in catalog {
            #expect(catalog.function(at: record.address) == record)
        }
    }

    @Test func obstaclesAreToldWhereTheSiteHadToMove() throws {
        let obstacles = catalog.obstacles(of: try function("behind_nops"))
        #expect(obstacles.map(\.code) == [.jumpIntoSite])
    }

    @Test func similarNames() {
        #expect(catalog.similarNames(to: "loop_to_entri") == ["loop_to_entry"])
        #expect(catalog.similarNames(to: "CONSTPROP") == ["parent.constprop.0"])
        #expect(catalog.similarNames(to: "zzzzzzzzzzzz").isEmpty)
    }

    @Test(
        arguments: [
            ("f", .ordinary), ("f.cold", .fragment(of: "f")), ("f.cold.3", .fragment(of: "f")),
            ("f.constprop.0", .clone(of: "f")), ("f.isra.0.cold", .fragment(of: "f.isra.0")),
            ("f.part.0.isra.1", .clone(of: "f")), ("f.colder", .ordinary), (".cold", .ordinary),
            ("f.lto_priv.0", .clone(of: "f")),
        ] as [(String, FunctionKind)])
    func suffixes(_ name: String, _ kind: FunctionKind) {
        #expect(CloneSuffix.kind(of: name) == kind)
    }
}
