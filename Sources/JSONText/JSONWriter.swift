// Written here and not by Jansson: the tree need not be built a second time
// for it, and the result cannot depend on the C locale.

extension JSONValue {
    /// The value as JSON text, the same for equal values. `pretty` puts every
    /// member on its own line, indented by two spaces, without a final newline.
    public func text(pretty: Bool = false) -> String {
        String(decoding: bytes(pretty: pretty), as: UTF8.self)
    }

    /// The same in UTF-8.
    public func bytes(pretty: Bool = false) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(512)
        write(to: &result, indent: pretty ? 0 : nil)
        return result
    }

    private func write(to text: inout [UInt8], indent: Int?) {
        switch self {
        case .null: text += "null".utf8
        case .bool(let value): text += (value ? "true" : "false").utf8
        case .integer(let value): text += String(value).utf8
        // JSON has no infinity and no NaN (RFC 8259, section 6).
        case .number(let value): text += (value.isFinite ? value.description : "null").utf8
        case .string(let value): Self.quote(value, into: &text)
        case .array(let elements):
            Self.writeList(elements, "[", "]", to: &text, indent: indent) { element, text, indent in
                element.write(to: &text, indent: indent)
            }
        case .object(let members):
            Self.writeList(members, "{", "}", to: &text, indent: indent) { member, text, indent in
                Self.quote(member.key, into: &text)
                text += (indent == nil ? ":" : ": ").utf8
                member.value.write(to: &text, indent: indent)
            }
        }
    }

    private static func writeList<Element>(
        _ elements: [Element], _ open: String, _ close: String, to text: inout [UInt8],
        indent: Int?, body: (Element, inout [UInt8], Int?) -> Void
    ) {
        text += open.utf8
        let inner = indent.map { $0 + 1 }
        for (index, element) in elements.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            breakLine(&text, indent: inner)
            body(element, &text, inner)
        }
        if !elements.isEmpty { breakLine(&text, indent: indent) }
        text += close.utf8
    }

    private static func breakLine(_ text: inout [UInt8], indent: Int?) {
        guard let indent else { return }
        text.append(UInt8(ascii: "\n"))
        text += repeatElement(UInt8(ascii: " "), count: 2 * indent)
    }

    /// Escapes what RFC 8259, section 7, says must be, and DEL and the C1
    /// controls too, so that hostile names cannot steer a terminal.
    private static func quote(_ string: String, into text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        defer { text.append(UInt8(ascii: "\"")) }
        // Most often there is nothing to escape, and payloads are described while
        // programs stand still.
        let isPlain = string.utf8.allSatisfy {
            (0x20..<0x7f).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
        }
        if isPlain {
            text += string.utf8
            return
        }
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\"".utf8
            case "\\": text += "\\\\".utf8
            case "\n": text += "\\n".utf8
            case "\r": text += "\\r".utf8
            case "\t": text += "\\t".utf8
            case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}":
                let digits = String(scalar.value, radix: 16)
                text += "\\u".utf8
                text += repeatElement(UInt8(ascii: "0"), count: 4 - digits.count)
                text += digits.utf8
            default: text += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
            }
        }
    }
}
