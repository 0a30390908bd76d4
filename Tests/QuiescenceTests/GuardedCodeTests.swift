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

    /// Hundreds of functions of a program and of libraries far away, some in each
    /// other, give the same answers as looking at each of them.
    @Test func manyStretchesAreFoundLikeFew() throws {
        var stretches: [GuardedCode.Stretch] = []
        let bases: [UInt64] = [0x5555_0000_0000, 0x7f11_0000_0000, 0x7f99_0000_0000]
        for base in bases {
            for number in 0..<80 {
                let start = RemoteAddress(rawValue: base + UInt64(number) * 96)
                let range = try #require(AddressRange(start: start, count: 80))
                stretches.append(.site(start, length: 5, of: "f\(number)"))
                stretches.append(
                    try #require(
                        .function(range, entry: start, endIsReturn: true, symbol: "f\(number)")))
            }
        }
        let all = RemoteAddress(rawValue: 0x7f99_0000_0000)
        let payload = try #require(AddressRange(start: all, count: 4096))
        stretches.append(try #require(.piece(payload, symbol: "payload")))
        let guarded = GuardedCode(stretches)
        for base in bases {
            for address in base - 3..<base + 80 * 96 {
                let inside = stretches.filter { $0.inside.contains(address) }
                let site = inside.first { $0.degree == .site }
                let found = guarded.stretch(at: address)
                #expect((found == nil) == inside.isEmpty)
                #expect(found.map { inside.contains($0) } ?? true)
                #expect(site == nil || found == site)
            }
        }
        for address: UInt64 in [0, 0x5555_0001_0000, 0x7f50_0000_0000, 0x7ffd_1234_5678, .max] {
            #expect(guarded.stretch(at: address) == nil)
        }
    }

    @Test func theLastAddressOfAllMayBeGuarded() {
        let stretch = GuardedCode.Stretch(
            symbol: "end", inside: UInt64.max - 1...UInt64.max, degree: .function,
            start: RemoteAddress(rawValue: .max - 1))
        let guarded = GuardedCode([stretch])
        #expect(guarded.stretch(at: .max) == stretch)
        #expect(guarded.stretch(at: .max - 2) == nil)
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
