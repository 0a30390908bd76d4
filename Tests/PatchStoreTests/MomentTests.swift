import PatchStore
import Testing

@Suite struct MomentTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-11-23T06:30:06.123456Z", 1_795_415_406_123_456),
        ("2026-11-23T07:30:06.123456789+01:00", 1_795_415_406_123_456),
        ("2026-11-23", 1_795_392_000_000_000), ("1969-12-31T23:59:59.5Z", -500_000),
        ("2024-02-29 12:00:00Z", 1_709_208_000_000_000),
    ])
    func areRead(_ text: String, _ microseconds: Int64) throws {
        let moment = try #require(Moment(text))
        #expect(moment.microsecondsSince1970 == microseconds)
        #expect(Moment("\(moment)") == moment)
    }

    @Test(arguments: [
        "", "now", "2026", "2026-13-01", "2026-02-30", "2026-11-23T25:00:00Z",
        "2026-11-23T06:30:06", "2026-11-23T06:30:06Zx", "2026-11-23T06:30Z", "٢٠٢٦-11-23",
    ])
    func othersAreNone(_ text: String) { #expect(Moment(text) == nil) }
}
