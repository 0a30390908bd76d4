import Addresses
import JSONText
import Testing

@testable import PatchLinker

@Suite struct PayloadRecordTests {
    private let record = PayloadRecord(
        name: "fix", version: "2", digest: "00ff", base: "3f2a", object: "/srv/daemon",
        bias: LoadBias(rawValue: 0x5555_5555_4000),
        extent: PayloadExtent(
            start: RemoteAddress(rawValue: 0x5555_5554_0000), readOnly: 0x1000, code: 0x2000,
            writable: 0x1000),
        unwind: AddressRange(emptyAt: RemoteAddress(rawValue: 0x5555_5554_0800)),
        detours: [
            .init(
                symbol: "parse", site: RemoteAddress(rawValue: 0x5555_5555_5000),
                original: [0x55, 0x48, 0x89, 0xe5, 0x53],
                entry: RemoteAddress(rawValue: 0x5555_5554_1000),
                stub: RemoteAddress(rawValue: 0x5555_5554_1400),
                moved: RemoteAddress(rawValue: 0x5555_5554_1420), replaced: []),
            .init(
                symbol: "tiny", site: RemoteAddress(rawValue: 0x5555_5555_5040),
                original: [0x31, 0xc0],
                island: .init(
                    address: RemoteAddress(rawValue: 0x5555_5555_5046),
                    padding: [0x66, 0x90, 0x66, 0x90, 0x90]),
                entry: RemoteAddress(rawValue: 0x5555_5554_1100),
                stub: RemoteAddress(rawValue: 0x5555_5554_1440), moved: nil, replaced: []),
        ])

    @Test func whatIsWrittenIsReadBack() throws {
        let bytes = PayloadHeader.encode(record)
        let length = try #require(PayloadHeader.recordLength(head: bytes))
        #expect(length == bytes.count - PayloadHeader.size)
        #expect(try PayloadRecord(parsing: Array(bytes[PayloadHeader.size...])) == record)
    }

    @Test func theLengthDoesNotDependOnThePlace() {
        let elsewhere = PayloadRecord(
            name: record.name, version: record.version, digest: record.digest, base: record.base,
            object: record.object, bias: LoadBias(rawValue: 0),
            extent: PayloadExtent(
                start: RemoteAddress(rawValue: 0), readOnly: 0, code: 0, writable: 0),
            unwind: AddressRange(emptyAt: RemoteAddress(rawValue: 0)),
            detours: record.detours)
        #expect(PayloadHeader.encode(elsewhere).count == PayloadHeader.encode(record).count)
    }

    @Test func theJumpLeadsToTheEntry() throws {
        let detour = record.detours[0]
        let bytes = try #require(detour.bytes(leadingTo: .code(detour.entry)))
        // e9 to 0x555555541000 from behind 0x555555555005
        #expect(bytes.site == [0xe9, 0xfb, 0xbf, 0xfe, 0xff])
        #expect(bytes.island == nil)
        #expect(detour.destination(site: bytes.site, island: nil) == .code(detour.entry))
        #expect(detour.destination(site: detour.original, island: nil) == .original)
        #expect(detour.destination(site: [0x90, 0x90, 0x90, 0x90, 0x90], island: nil) == nil)
    }

    @Test func aShortJumpLeadsByWayOfItsIsland() throws {
        let detour = record.detours[1]
        let bytes = try #require(detour.bytes(leadingTo: .code(detour.entry)))
        // eb from behind 0x555555555042 to 0x555555555046
        #expect(bytes.site == [0xeb, 0x04])
        #expect(bytes.island?.first == 0xe9)
        #expect(detour.destination(site: bytes.site, island: bytes.island) == .code(detour.entry))
        #expect(detour.destination(site: [0xeb, 0x05], island: bytes.island) == nil)
    }

    @Test func theStateIsReadBack() throws {
        var state = PayloadState(detourCount: 2)
        state.appliedAt = 7
        state.isLive = true
        state.isSwitching = true
        state.decision = RemoteAddress(rawValue: 0x1028)
        state.isDecided = true
        state.entries[1].before = 1
        state.entries[1].after = 2
        state.entries[1].beneath = 3
        #expect(state.bytes.count == Int(PayloadState.size(detourCount: 2)))
        #expect(PayloadState(parsing: state.bytes, detourCount: 2) == state)
        #expect(PayloadState(parsing: Array(state.bytes.dropLast()), detourCount: 2) == nil)
        #expect(PayloadState(parsing: state.bytes, detourCount: 3) == nil)
    }

    /// The target owns the memory that the record is read from.
    @Test func mutatedRecordsAreReadOrRefusedButNeverTrap() throws {
        let bytes = PayloadHeader.encode(record)
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0 ... .max, using: &generator)
        var random = SplitMix(state: seed)
        for round in 0..<5000 {
            var mutated = bytes
            for _ in 0...Int(random.next() % 4) {
                let place = Int(random.next() % UInt64(mutated.count))
                switch random.next() % 3 {
                case 0: mutated[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: mutated.remove(at: place)
                default: mutated.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
                }
            }
            guard let length = PayloadHeader.recordLength(head: mutated) else { continue }
            let text = mutated.dropFirst(PayloadHeader.size).prefix(length)
            do throws(JSONError) {
                let record = try PayloadRecord(parsing: Array(text))
                _ = record.extent.range
                _ = record.extent.writableRange
                _ = record.detours.map(\.isReachable)
                _ = record.detours.map { $0.bytes(leadingTo: .code($0.entry))?.island }
            } catch {
                #expect(!error.description.isEmpty, "round \(round), seed \(seed)")
            }
        }
    }
}

/// Repeatable noise (Steele, Lea and Flood, SplitMix64).
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
