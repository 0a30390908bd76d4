import Addresses
import LiveProcess
import Quiescence
import Testing

@Suite struct GuardedCodeTests {
    private let site = RemoteAddress(rawValue: 0x1004)

    /// A function at 0x1000 with `endbr64` before its site, and a fragment.
    private func guarded(endIsReturn: Bool = false) throws -> GuardedCode {
        let range = try #require(
            AddressRange(
                start: RemoteAddress(rawValue: 0x1000), end: RemoteAddress(rawValue: 0x1040)))
        let cold = try #require(
            AddressRange(
                start: RemoteAddress(rawValue: 0x800), end: RemoteAddress(rawValue: 0x810)))
        return GuardedCode([
            .site(site, length: 5, of: "parse"),
            try #require(
                .function(range, entry: site, endIsReturn: endIsReturn, symbol: "parse")),
            try #require(.piece(cold, symbol: "parse")),
        ])
    }

    @Test func nothingBeforeTheJumpIsInside() throws {
        let guarded = try guarded()
        // The entry, the site's first byte: the thread will take the detour.
        #expect(guarded.stretch(at: 0x1000) == nil)
        #expect(guarded.stretch(at: 0x1004) == nil)
        #expect(guarded.stretch(at: 0xfff) == nil)
    }

    @Test func theRewrittenBytesAreASite() throws {
        let guarded = try guarded()
        for address in UInt64(0x1005)...0x1008 {
            #expect(guarded.stretch(at: address)?.degree == .site)
        }
        #expect(guarded.stretch(at: 0x1009)?.degree == .function)
    }

    @Test func anAddressBehindTheEndCountsOnlyAsAReturn() throws {
        #expect(try guarded().stretch(at: 0x1040) == nil)
        #expect(try guarded(endIsReturn: true).stretch(at: 0x1040)?.degree == .function)
    }

    @Test func fragmentsCountFromTheirFirstByte() throws {
        let guarded = try guarded()
        #expect(guarded.stretch(at: 0x800)?.symbol == "parse")
        #expect(guarded.stretch(at: 0x7ff) == nil)
        // Between the pieces is other code.
        #expect(guarded.stretch(at: 0x900) == nil)
    }

    @Test func everyWordOfAStackIsLookedAt() throws {
        let guarded = try guarded()
        let quiet: [UInt64] = [0, 1, 0x1000, .max, 0x1004]
        #expect(guarded.firstHit(inStack: quiet.span)?.index == nil)
        let busy: [UInt64] = [0, 0x7ff0_0000, 0x1010, 0x1020]
        #expect(guarded.firstHit(inStack: busy.span)?.index == 2)
    }

    @Test func nothingGuardedIsNeverHit() {
        let guarded = GuardedCode([])
        #expect(guarded.stretch(at: 1) == nil)
        #expect(guarded.stretch(at: .max) == nil)
    }

    @Test func placesAreNamedByTheirDistanceFromTheFunction() throws {
        let stretch = try #require(try guarded().stretch(at: 0x1010))
        let activity = Activity(
            thread: ThreadID(rawValue: 7), threadName: "worker", stretch: stretch,
            place: .stack(
                slot: RemoteAddress(rawValue: 0x7000), value: RemoteAddress(rawValue: 0x1010)))
        #expect("\(activity)" == "thread 7 ('worker') will return into 'parse'+0x10 (0x1010)")
    }
}
