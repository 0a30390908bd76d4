import Addresses
import Testing

@Suite struct AddressesTests {
    @Test func biasIsTheOnlyCrossing() {
        let bias = LoadBias(
            of: LinkAddress(rawValue: 0x1000), at: RemoteAddress(rawValue: 0x5555_5555_5000))
        #expect(bias.remote(LinkAddress(rawValue: 0x1234)).rawValue == 0x5555_5555_5234)
        #expect(bias.link(RemoteAddress(rawValue: 0x5555_5555_5234)).rawValue == 0x1234)
    }

    @Test func arithmeticNeverTraps() {
        let last = LinkAddress(rawValue: .max)
        #expect(last.advanced(by: 1) == nil)
        #expect(last.offset(by: 1) == nil)
        #expect(LinkAddress(rawValue: 0).offset(by: -1) == nil)
        #expect(LinkAddress(rawValue: 0).offset(by: .min) == nil)
        #expect(AddressRange(start: last, count: 2) == nil)
        #expect(AddressRange(start: last, end: LinkAddress(rawValue: 0)) == nil)
    }

    @Test(arguments: [
        (0x1000 as UInt64, 0x1005 as UInt64, 0 as Int32),
        (0x1000, 0x1000, -5),
        (0x8000_0000, 0x0000_0005, .min),
        (0, 0x8000_0004, .max),
    ])
    func displacementsInReach(_ from: UInt64, _ to: UInt64, _ expected: Int32) {
        let jump = Rel32(
            from: RemoteAddress(rawValue: from), length: 5, to: RemoteAddress(rawValue: to))
        #expect(jump?.displacement == expected)
    }

    @Test func displacementsOutOfReachAreNil() {
        let origin = RemoteAddress(rawValue: 0x1_0000_0000)
        #expect(
            Rel32(from: origin, length: 5, to: RemoteAddress(rawValue: 0x1_8000_0005)) == nil)
        #expect(
            Rel32(from: origin, length: 5, to: RemoteAddress(rawValue: 0x8000_0004)) == nil)
    }

    @Test func rangesOverlapHalfOpen() throws {
        let low = try #require(AddressRange(start: FileOffset(rawValue: 0), count: 16))
        let high = try #require(AddressRange(start: FileOffset(rawValue: 16), count: 16))
        #expect(!low.overlaps(high))
        #expect(low.contains(FileOffset(rawValue: 15)))
        #expect(!low.contains(FileOffset(rawValue: 16)))
    }
}
