import Addresses
import Testing

@testable import LiveProcess
@testable import PatchLinker

@Suite struct PlacementTests {
    private func map(_ lines: String) throws -> MemoryMap {
        try #require(MemoryMap(parsing: Array(lines.utf8)))
    }

    private func range(_ start: UInt64, _ end: UInt64) throws -> AddressRange<RemoteAddress> {
        try #require(
            AddressRange(start: RemoteAddress(rawValue: start), end: RemoteAddress(rawValue: end)))
    }

    @Test func aProgramGetsItsPayloadBelowSoThatTheHeapCanGrow() throws {
        let map = try map(
            """
            555555554000-555555558000 r-xp 00000000 fe:00 7   /srv/daemon
            555555559000-55555557a000 rw-p 00000000 00:00 0   [heap]
            7ffff7d00000-7ffff7f00000 r-xp 00000000 fe:00 9   /lib/libc.so.6
            7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0   [stack]

            """)
        let program = try range(0x5555_5555_4000, 0x5555_5555_8000)
        let start = Placement.start(forSize: 0x3000, near: program, program: program, in: map)
        #expect(start?.rawValue == 0x5555_5555_1000)
    }

    @Test func aFixedProgramAtFourMebibytesStillFindsRoomBelow() throws {
        let map = try map("00400000-00500000 r-xp 00000000 fe:00 7   /srv/daemon\n")
        let program = try range(0x40_0000, 0x50_0000)
        let start = Placement.start(forSize: 0x3000, near: program, program: program, in: map)
        #expect(start?.rawValue == 0x3f_d000)
    }

    @Test func lowAddressesAndTheHeapsRoomStayFree() throws {
        let map = try map("00400000-00500000 r-xp 00000000 fe:00 7   /srv/daemon\n")
        let program = try range(0x40_0000, 0x50_0000)
        // Too large for what lies between 1 MiB and the program.
        let start = try #require(
            Placement.start(forSize: 0x40_0000, near: program, program: program, in: map))
        #expect(start.rawValue >= 0x50_0000 + Placement.heapRoom)
        #expect(start.rawValue + 0x40_0000 <= 0x40_0000 + Placement.reach)
    }

    @Test func takenStartsAreSteppedOver() throws {
        let map = try map("00400000-00500000 r-xp 00000000 fe:00 7   /srv/daemon\n")
        let program = try range(0x40_0000, 0x50_0000)
        let start = Placement.start(
            forSize: 0x3000, near: program, program: program, in: map,
            excluding: [RemoteAddress(rawValue: 0x3f_d000)])
        #expect(start?.rawValue == 0x3f_a000)
    }

    @Test func noRoomInReachIsNil() throws {
        let map = try map("00010000-ffffffff0000 r-xp 00000000 fe:00 7   /srv/daemon\n")
        let program = try range(0x1_0000, 0xffff_ffff_0000)
        #expect(
            Placement.start(forSize: 0x3000, near: program, program: program, in: map) == nil)
    }
}
