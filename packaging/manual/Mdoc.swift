/// Plain text as mdoc(7) wants it.
enum Mdoc {
    /// A word or more as the argument of a macro: `--pid` becomes `Fl \-pid`.
    static func names(_ names: [String]) -> String {
        names.map { "Fl \(escaped(String($0.dropFirst())))" }.joined(separator: " , ")
    }

    /// Paragraphs, of which those indented by two spaces are shown as they are.
    static func paragraphs(_ text: String) -> String {
        var result = ""
        for paragraph in text.split(separator: "\n\n") where !paragraph.isEmpty {
            if !result.isEmpty { result += ".Pp\n" }
            let lines = paragraph.split(separator: "\n").map(String.init)
            result +=
                lines.allSatisfy { $0.hasPrefix("  ") }
                ? ".Dl " + lines.map { line($0.drop { $0 == " " }) }.joined(separator: "\n.Dl ")
                    + "\n"
                : lines.flatMap(filled).map { line($0) + "\n" }.joined()
        }
        return result
    }

    /// A sentence ends with its line, so that troff can space it.
    private static func filled(_ text: String) -> [String] {
        var result: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + word.count > 70 {
                result.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " " + word
            if word.hasSuffix(".") || word.hasSuffix(":") {
                result.append(line)
                line = ""
            }
        }
        return line.isEmpty ? result : result + [line]
    }

    /// One line of text. One that begins like a macro is kept from being one.
    static func line(_ text: some StringProtocol) -> String {
        let escaped = escaped(String(text))
        return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
    }

    /// groff_char(7): these would be shown as typographical signs, and not be what
    /// one can type.
    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "'": result += "\\(aq"
            case "`": result += "\\(ga"
            case "^": result += "\\(ha"
            case "~": result += "\\(ti"
            default: result.append(character)
            }
        }
        return result
    }
}
