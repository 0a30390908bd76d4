import Addresses
import ELFImage
import TestSupport
import Testing

@testable import Patchability

/// Tests/Fixtures/islands.c: sites of two bytes, and what they may lead to.
@Suite struct ShortSiteTests {
    private let catalog: FunctionCatalog

    init() throws {
        let path = try Fixture.compile("islands", flags: ["-O1"])
        catalog = try FunctionCatalog(try ELFImage.open(path: path))
    }

    private func function(_ name: String) throws -> FunctionRecord {
        let found = catalog.functions(named: name)
        try #require(found.count == 1, "\(name)")
        return found[0]
    }

    /// The island stands `distance` bytes behind the end of the function `behind`.
    @Test(
        arguments: [
            ("before_int3", 0, "before_int3", 0), ("behind_nops", 0, "jumps_away", 0),
            ("first_of_two", 0, "first_of_two", 0), ("first_of_both", 0, "first_of_both", 0),
            ("second_of_both", 0, "first_of_both", 5), ("just_enough_left", 0, "short_two", 2),
            ("behind_endbr", 4, "behind_endbr", 0), ("one_byte", 0, "follows", 0),
            ("call_returns", 0, "trap_returns", 0), ("kernel_returns", 0, "trap_returns", 5),
            ("across_page", 0, "across_page", 0), ("before_page_end", 0, "before_page_end", 1),
        ] as [(String, Int, String, UInt64)])
    func byWayOfAnIsland(
        _ name: String, _ offset: Int, _ behind: String, _ distance: UInt64
    ) throws {
        let function = try function(name)
        let site = try #require(function.verdict.site, "\(name): \(function.verdict)")
        #expect(site.size == 2)
        #expect(site.offset == offset)
        #expect(site.address == function.address.advanced(by: UInt64(offset)))
        #expect(site.island == (try self.function(behind)).range.end.advanced(by: distance))
        #expect(site.paddingBytes == (name == "one_byte" ? 1 : 0))
        #expect(site.followsEndbr64 == (name == "behind_endbr"))
    }

    @Test(
        arguments: [
            ("nothing_near", .jumpIntoSite), ("behind_call", .jumpIntoSite),
            ("behind_zeros", .jumpIntoSite), ("behind_branched", .jumpIntoSite),
            ("behind_pointed", .jumpIntoSite), ("behind_loop", .jumpIntoSite),
            ("second_of_two", .jumpIntoSite), ("too_little_left", .jumpIntoSite),
            ("trap_returns", .returnIntoSite), ("at_last_byte", .siteAcrossPages),
        ] as [(String, VerdictCode)])
    func noIsland(_ name: String, _ code: VerdictCode) throws {
        let verdict = try function(name).verdict
        #expect(verdict.code == code, "\(verdict)")
        #expect(verdict.refusal?.code == code)
        #expect(verdict.site == nil)
    }

    @Test func fiveBytesBehindANopRatherThanAcrossPages() throws {
        let site = try #require(try function("behind_first_nop").verdict.site)
        #expect(site.offset == 2)
        #expect(site.size == 5)
        #expect(site.address.rawValue % 4096 == 0)
    }

    /// What must hold of every site, whatever the fixture holds.
    @Test func sitesAndIslandsShareNothing() {
        var taken: Set<LinkAddress> = []
        for record in catalog {
            guard let site = record.verdict.site, let range = site.range else { continue }
            var writes = [range]
            if let island = site.island {
                writes += AddressRange(start: island, count: Site.jumpSize).map { [$0] } ?? []
                let distance = Int64(bitPattern: island.rawValue &- range.end.rawValue)
                #expect((-128...127).contains(distance), "\(record.displayName)")
            }
            for write in writes {
                #expect(
                    write.start.rawValue / 4096 == (write.end.rawValue - 1) / 4096,
                    "\(record.displayName)")
                for byte in 0..<write.count {
                    let address = write.start.wrapping(by: Int64(byte))
                    #expect(taken.insert(address).inserted, "\(record.displayName): \(address)")
                    let owner = catalog.function(containing: address)
                    #expect(owner == nil || owner == record, "\(record.displayName): \(address)")
                }
            }
        }
    }
}
