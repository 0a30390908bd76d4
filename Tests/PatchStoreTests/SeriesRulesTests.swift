import PatchFile
import Testing

@testable import PatchStore

/// What becomes of the patches that are installed as others come and go.
@Suite struct SeriesRulesTests {
    private static let base = SamplePatch.base

    private func item(
        _ name: String, _ digest: String = "1", base: BaseIdentity = base,
        requires: [String] = [], supersedes: Set<String> = [], isCumulative: Bool = false
    ) -> SeriesItem {
        var item = SeriesItem(id: PatchID(name: name, digest: digest), base: base)
        item.requires = requires.map { PatchRequirement(name: $0) }
        item.supersedes = supersedes
        item.isCumulative = isCumulative
        return item
    }

    private func names(_ items: [SeriesItem]) -> [String] { items.map(\.id.name) }

    @Test func newOnesComeLast() throws {
        let change = try Series.adding(
            [item("c"), item("b")], to: [item("a")], replacing: false)
        #expect(names(change.items) == ["a", "c", "b"])
        #expect(change.withdrawn.isEmpty)
        #expect(
            change.outcomes == [.installed(superseding: []), .installed(superseding: [])])
    }

    @Test func theSameOneChangesNothing() throws {
        let installed = [item("a"), item("b")]
        let change = try Series.adding([item("a")], to: installed, replacing: false)
        #expect(change.items == installed && change.outcomes == [.alreadyInstalled])
        var damaged = item("a")
        damaged.isSound = false
        let repaired = try Series.adding([item("a")], to: [damaged], replacing: false)
        #expect(repaired.items == [item("a")] && repaired.outcomes == [.repaired])
    }

    @Test func anotherOfItsNameTakesItsPlaceWhereAsked() throws {
        let installed = [item("a"), item("b", requires: ["a"])]
        #expect(
            throws: SeriesRefusal.nameTaken(item("a", "2").id, installed: item("a").id)
        ) { try Series.adding([item("a", "2")], to: installed, replacing: false) }
        let change = try Series.adding([item("a", "2")], to: installed, replacing: true)
        #expect(change.items.map(\.id.digest) == ["2", "1"])
        #expect(change.withdrawn == [item("a")])
        #expect(change.outcomes == [.replaced(item("a").id)])
    }

    /// One patch's name may stand for builds for several bases.
    @Test func basesAreSeriesOfTheirOwn() throws {
        let other = item("a", "2", base: SamplePatch.otherBase)
        let all = item("all", base: SamplePatch.otherBase, isCumulative: true)
        let change = try Series.adding([other, all], to: [item("a")], replacing: false)
        #expect(change.items == [item("a"), all])
        #expect(change.withdrawn == [other])
        #expect(throws: SeriesRefusal.self) {
            try Series.adding(
                [item("b", base: SamplePatch.otherBase, requires: ["a"])], to: [item("a")],
                replacing: false)
        }
    }

    @Test func laterOnesTakeThePlaceOfEarlierOnes() throws {
        let installed = [item("a"), item("b"), item("c")]
        let one = try Series.adding(
            [item("d", supersedes: ["a", "nothing"])], to: installed, replacing: false)
        #expect(names(one.items) == ["b", "c", "d"] && names(one.withdrawn) == ["a"])
        #expect(one.outcomes == [.installed(superseding: ["a"])])
        let all = try Series.adding(
            [item("d", isCumulative: true)], to: installed, replacing: false)
        #expect(names(all.items) == ["d"] && names(all.withdrawn) == ["a", "b", "c"])
        // What comes after a cumulative one stands on it.
        let after = try Series.adding([item("e")], to: all.items, replacing: false)
        #expect(names(after.items) == ["d", "e"])
    }

    @Test func whatIsRequiredComesBeforeAndStays() throws {
        let needy = item("b", requires: ["a"])
        let missing = SeriesRefusal.requirementMissing(
            needy.id, PatchRequirement(name: "a"), base: Self.base)
        #expect(throws: missing) { try Series.adding([needy], to: [], replacing: false) }
        // In the order given: afterwards is too late.
        #expect(throws: missing) {
            try Series.adding([needy, item("a")], to: [], replacing: false)
        }
        let both = try Series.adding([item("a"), needy], to: [], replacing: false).items
        let required = SeriesRefusal.required(item("a").id, by: needy.id)
        #expect(throws: required) { try Series.removing(from: both) { $0.id.name == "a" } }
        #expect(throws: required) {
            try Series.adding([item("c", supersedes: ["a"])], to: both, replacing: false)
        }
        let none = try Series.removing(from: both) { _ in true }
        #expect(none.items.isEmpty && none.withdrawn == both)
    }

    @Test func aRequirementMayBeForOneBuild() throws {
        let digest = [UInt8](repeating: 0xab, count: 32)
        var needy = item("b")
        needy.requires = [PatchRequirement(name: "a", digest: digest)]
        #expect(throws: SeriesRefusal.self) {
            try Series.adding([item("a", "1"), needy], to: [], replacing: false)
        }
        let exact = item("a", String(repeating: "ab", count: 32))
        #expect(try Series.adding([exact, needy], to: [], replacing: false).items.count == 2)
    }

    @Test func damagedOnesMeetNoRequirement() throws {
        var damaged = item("a")
        damaged.isSound = false
        #expect(throws: SeriesRefusal.self) {
            try Series.adding([item("b", requires: ["a"])], to: [damaged], replacing: false)
        }
    }

    @Test func aFixedBuildOnDiskMakesAPatchObsolete() {
        var fixed = item("a")
        fixed.fixedIn = [SamplePatch.otherBase]
        let installed = [fixed, item("b")]
        func obsolete(_ builds: Set<BaseIdentity>) -> [String] {
            names(Series.obsolete(among: installed) { _ in builds })
        }
        #expect(obsolete([SamplePatch.otherBase]) == ["a"])
        #expect(obsolete([]) == [])
        #expect(obsolete([Self.base]) == [])
        // It can still be started from another file.
        #expect(obsolete([Self.base, SamplePatch.otherBase]) == [])
        #expect(obsolete([.buildID([1])]) == [])
    }
}
