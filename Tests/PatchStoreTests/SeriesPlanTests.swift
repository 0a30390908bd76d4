import PatchFile
import Testing

@testable import PatchStore

/// What brings a process to what is installed.
@Suite struct SeriesPlanTests {
    private typealias Applied = Series.Applied

    private static func id(_ name: String) -> PatchID {
        // `a2` is another build of `a`.
        PatchID(name: String(name.prefix(1)), digest: name)
    }

    private static func item(
        _ name: String, _ symbols: Set<String>, supersedes: Set<String> = [],
        isCumulative: Bool = false
    ) -> SeriesItem {
        var item = SeriesItem(id: id(name), base: SamplePatch.base)
        item.symbols = symbols
        item.supersedes = supersedes
        item.isCumulative = isCumulative
        return item
    }

    private static func applied(_ name: String, _ symbols: Set<String>) -> Applied {
        Applied(id: id(name), symbols: symbols)
    }

    private func plan(
        _ installed: [SeriesItem], _ applied: [Applied], withdrawn: [String] = []
    ) -> [[String]] {
        let plan = Series.plan(
            installed: installed, withdrawn: Set(withdrawn.map(Self.id)), applied: applied)
        return [plan.revert.map(\.digest), plan.apply.map(\.digest)]
    }

    private let a = item("a", ["f"])
    private let b = item("b", ["g"])
    private let c = item("c", ["f", "h"])

    @Test func whatIsMissingComesInOrder() {
        #expect(plan([a, b, c], []) == [[], ["a", "b", "c"]])
        #expect(plan([a, b, c], [Self.applied("a", ["f"])]) == [[], ["b", "c"]])
        #expect(plan([a, b], [Self.applied("b", ["g"])]) == [[], ["a"]])
        let whole = ["a": ["f"], "b": ["g"], "c": ["f", "h"]].sorted { $0.key < $1.key }
        #expect(plan([a, b, c], whole.map { Self.applied($0.key, Set($0.value)) }) == [[], []])
    }

    /// `c` lies above what is to be beneath it.
    @Test func whatIsOnTopTooEarlyComesAgain() {
        #expect(plan([a, c], [Self.applied("c", ["f", "h"])]) == [["c"], ["a", "c"]])
        #expect(
            plan([a, c], [Self.applied("c", ["f", "h"]), Self.applied("a", ["f"])])
                == [["a", "c"], ["a", "c"]])
    }

    @Test func whatIsWithdrawnGoes() {
        let stack = [Self.applied("a", ["f"]), Self.applied("b", ["g"])]
        #expect(plan([b], stack, withdrawn: ["a"]) == [["a"], []])
        #expect(plan([], stack, withdrawn: ["a", "b"]) == [["b", "a"], []])
        // It stands on what goes.
        let covered = [Self.applied("a", ["f"]), Self.applied("c", ["f", "h"])]
        #expect(plan([c], covered, withdrawn: ["a"]) == [["c", "a"], ["c"]])
    }

    @Test func whatSomebodyAppliedStays() {
        #expect(plan([a], [Self.applied("x", ["g"])]) == [[], ["a"]])
        #expect(plan([], [Self.applied("x", ["g"])]) == [[], []])
        // Unless something that is installed takes its place.
        let successor = Self.item("s", ["g"], supersedes: ["x"])
        #expect(plan([successor], [Self.applied("x", ["g"])]) == [["x"], ["s"]])
        #expect(plan([a], [Self.applied("a2", ["f"])]) == [["a2"], ["a"]])
    }

    @Test func aCumulativeOneTakesAllOut() {
        let all = Self.item("z", ["f", "g"], isCumulative: true)
        let stack = [Self.applied("a", ["f"]), Self.applied("x", ["k"])]
        #expect(plan([all, c], stack) == [["x", "a"], ["z", "c"]])
        // Once it is in, others may be applied beside it.
        #expect(
            plan([all], [Self.applied("z", ["f", "g"]), Self.applied("x", ["k"])]) == [[], []])
    }

    @Test func whatIsDamagedIsLeftAsItIs() {
        var damaged = a
        damaged.isSound = false
        #expect(plan([damaged, b], []) == [[], ["b"]])
        #expect(plan([damaged, b], [Self.applied("a", ["f"])]) == [[], ["b"]])
    }

    @Test func whatRequiresADamagedOneWaitsForIt() throws {
        var (damaged, next, last) = (a, b, c)
        damaged.isSound = false
        next.requires = [try #require(PatchRequirement("a"))]
        last.requires = [try #require(PatchRequirement("b"))]
        #expect(plan([damaged, next, last], []) == [[], []])
        #expect(plan([damaged, next, last], [Self.applied("a", ["f"])]) == [[], ["b", "c"]])
    }

    /// Whatever a process has: afterwards it has what is installed, each function in the
    /// order of the series, and what was nobody's business stays.
    @Test(arguments: 0..<500)
    func everyStartLeadsToTheSeries(seed: Int) {
        var numbers = SeededNumbers(seed: UInt64(seed))
        let symbols = ["f", "g", "h"]
        func some() -> Set<String> {
            let few = symbols.filter { _ in Bool.random(using: &numbers) }
            return few.isEmpty ? ["f"] : Set(few)
        }
        var every = "abcdef".map { Self.item(String($0), some()) }
        every.shuffle(using: &numbers)
        let count = Int.random(in: 0...every.count, using: &numbers)
        let (installed, rest) = (every[..<count], every[count...])
        let withdrawn = rest.filter { _ in Bool.random(using: &numbers) }
        var stack = every.filter { _ in Bool.random(using: &numbers) }
        stack.shuffle(using: &numbers)
        let byHand = rest.filter { !withdrawn.contains($0) }.map(\.id)

        let plan = Series.plan(
            installed: Array(installed), withdrawn: Set(withdrawn.map(\.id)),
            applied: stack.map { Applied(id: $0.id, symbols: $0.symbols) })
        var now = stack.map(\.id)
        for id in plan.revert {
            // Only what nothing stays on top of can leave.
            let place = now.firstIndex(of: id) ?? -1
            #expect(place >= 0)
            let above = now.dropFirst(place + 1).filter { !plan.revert.contains($0) }
            let own = every.first { $0.id == id }?.symbols ?? []
            for other in above where byHand.contains(other) == false {
                let symbols = every.first { $0.id == other }?.symbols ?? []
                #expect(symbols.isDisjoint(with: own), "\(other) stays on \(id)")
            }
            now.removeAll { $0 == id }
        }
        now += plan.apply
        #expect(Set(now) == Set(installed.map(\.id) + stack.map(\.id).filter(byHand.contains)))
        for symbol in symbols {
            let order = now.filter { id in
                installed.contains { $0.id == id && $0.symbols.contains(symbol) }
            }
            #expect(order == installed.filter { $0.symbols.contains(symbol) }.map(\.id))
        }
        #expect(plan.revert.allSatisfy { !byHand.contains($0) })
    }
}
