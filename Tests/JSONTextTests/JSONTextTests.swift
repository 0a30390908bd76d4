import JSONText
import Testing

@Suite struct JSONTextTests {
    @Test func orderSurvivesARoundTrip() throws {
        let text = #"{"z":1,"a":[true,null,-2.5,"x"],"m":{"k":9223372036854775807},"e":{},"l":[]}"#
        let value = try JSONValue(parsing: text)
        #expect(value.text() == text)
        #expect(try JSONValue(parsing: value.text(pretty: true)) == value)
        #expect(value["m"]?["k"] == .integer(.max))
    }

    @Test func prettyTextIsStable() {
        let value: JSONValue = ["a": 1, "b": ["x", nil], "c": [:]]
        #expect(
            value.text(pretty: true) == """
                {
                  "a": 1,
                  "b": [
                    "x",
                    null
                  ],
                  "c": {}
                }
                """)
    }

    @Test func controlCharactersAreEscaped() throws {
        let hostile = "\u{1B}[2J\"\\\n\u{9B}é\u{7F}"
        let text = JSONValue.string(hostile).text()
        #expect(text == #""\u001b[2J\"\\\n\u009bé\u007f""#)
        #expect(try JSONValue(parsing: text) == .string(hostile))
    }

    @Test func nothingIsWrittenThatIsNoJSON() {
        #expect(JSONValue.number(.infinity).text() == "null")
        #expect(JSONValue.number(.nan).text() == "null")
    }

    @Test(arguments: [
        "", " ", "{", "[1,]", #"{"a":1,"a":2}"#, "1 2", "nul", #""\u0000""#, "1e999",
        "9223372036854775808", "\"\u{1}\"", #"{"a"}"#,
    ])
    func malformedTextIsAnError(_ text: String) {
        #expect {
            try JSONValue(parsing: text)
        } throws: {
            if case .malformed? = $0 as? JSONError { true } else { false }
        }
    }

    @Test func invalidUTF8IsAnError() {
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xFF, 0x22]) }
        #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
    }

    @Test func depthAndLengthAreBounded() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try JSONValue(parsing: nested(JSONValue.maximumDepth))
        #expect(throws: JSONError.tooDeep(limit: JSONValue.maximumDepth)) {
            try JSONValue(parsing: nested(JSONValue.maximumDepth + 1))
        }
        #expect(throws: JSONError.self) { try JSONValue(parsing: nested(1_000_000)) }
        #expect(throws: JSONError.tooLong(bytes: 4, limit: 3)) {
            try JSONValue(parsing: "null", limit: 3)
        }
    }

    @Test func errorsNameTheKeyPath() throws {
        let value = try JSONValue(parsing: #"{"list":[{"n":1},{"n":"x"}],"none":null}"#)
        let top = JSONCursor(value)
        let second = try top.member("list").elements()[1]
        #expect(
            throws: JSONError.unexpected(
                path: "list[1].n", expected: "a whole number", found: "\"x\"")
        ) { try second.member("n").integer() }
        #expect(throws: JSONError.missing(path: "list[1].m")) { try second.member("m") }
        #expect(throws: JSONError.missing(path: "none")) { try top.member("none") }
        #expect(try top.optionalMember("none") == nil)
        #expect(throws: JSONError.unknown(path: "list[1].n")) { try second.allowOnly(["m"]) }
    }

    /// Deterministic mutations of a valid text: an error or a value, never a trap.
    @Test func mutatedTextNeverTraps() throws {
        let seed = Array(#"{"a":[1,-2.5e3,"x\u00e9",true,null],"b":{"c":"d"},"e":[[],{}]}"#.utf8)
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        func next() -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33)
        }
        for _ in 0..<3_000 {
            var bytes = seed
            for _ in 0...(next() % 3) { bytes[next() % bytes.count] = UInt8(next() & 0xFF) }
            if next() % 4 == 0 { bytes.removeLast(next() % bytes.count) }
            if let value = try? JSONValue(parsing: bytes) {
                #expect(try JSONValue(parsing: value.text()) == value)
            }
        }
    }
}
