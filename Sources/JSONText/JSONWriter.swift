// Written here and not by Jansson: the tree need not be built a second time
// for it, and the result cannot depend on the C locale.

extension JSONValue {
    /// The value as JSON text, the same for equal values. `pretty` puts every
    /// member on its own line, indented by two spaces, without a final newline.
    public func text(pretty: Bool = false) -> String {
        var result = ""
        write(to: &result, indent: pretty ? 0 : nil)
        return result
    }

    private func write(to text: inout String, indent: Int?) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        // JSON has no infinity and no NaN (RFC 8259, section 6).
        case .number(let value): text += value.isFinite ? value.description : "null"
        case .string(let value): Self.quote(value, into: &text)
        case .array(let elements):
            Self.writeList(elements, "[", "]", to: &text, indent: indent) { element, text, indent in
                element.write(to: &text, indent: indent)
            }
        case .object(let members):
            Self.writeList(members, "{", "}", to: &text, indent: indent) { member, text, indent in
                Self.quote(member.key, into: &text)
                text += indent == nil ? ":" : ": "
                member.value.write(to: &text, indent: indent)
            }
        }
    }

    private static func writeList<Element>(
        _ elements: [Element], _ open: String, _ close: String, to text: inout String,
        indent: Int?, body: (Element, inout String, Int?) -> Void
    ) {
        text += open
        let inner = indent.map { $0 + 1 }
        for (index, element) in elements.enumerated() {
            if index > 0 { text += "," }
            breakLine(&text, indent: inner)
            body(element, &text, inner)
        }
        if !elements.isEmpty { breakLine(&text, indent: indent) }
        text += close
    }

    private static func breakLine(_ text: inout String, indent: Int?) {
        guard let indent else { return }
        text += "\n"
        text += String(repeating: "  ", count: indent)
    }

    /// Escapes what RFC 8259, section 7, says must be, and DEL and the C1
    /// controls too, so that hostile names cannot steer a terminal.
    private static func quote(_ string: String, into text: inout String) {
        text += "\""
        defer { text += "\"" }
        // Most often there is nothing to escape, and payloads are described while
        // programs stand still.
        let isPlain = string.utf8.allSatisfy {
            (0x20..<0x7f).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
        }
        if isPlain {
            text += string
            return
        }
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
    }
}
