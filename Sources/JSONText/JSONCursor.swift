/// A value together with the path that led to it, so that what is wrong with it
/// can be named: `functions[2].site`.
public struct JSONCursor: Sendable {
    public let value: JSONValue
    /// Empty at the top.
    public let path: String

    public init(_ value: JSONValue, path: String = "") {
        self.value = value
        self.path = path
    }

    /// The member of that name, which must be there and must not be null.
    public func member(_ key: String) throws(JSONError) -> JSONCursor {
        guard let cursor = try optionalMember(key) else {
            throw JSONError.missing(path: path(of: key))
        }
        return cursor
    }

    /// The member of that name, or nil where it is absent or null.
    public func optionalMember(_ key: String) throws(JSONError) -> JSONCursor? {
        guard case .object = value else { throw mismatch("an object") }
        guard let found = value[key], found != .null else { return nil }
        return JSONCursor(found, path: path(of: key))
    }

    /// Fails on the first member whose name is not in `known`.
    public func allowOnly(_ known: [String]) throws(JSONError) {
        guard case .object(let members) = value else { throw mismatch("an object") }
        if let stranger = members.first(where: { !known.contains($0.key) }) {
            throw JSONError.unknown(path: path(of: stranger.key))
        }
    }

    public func string() throws(JSONError) -> String {
        guard case .string(let string) = value else { throw mismatch("a string") }
        return string
    }

    public func bool() throws(JSONError) -> Bool {
        guard case .bool(let bool) = value else { throw mismatch("true or false") }
        return bool
    }

    public func integer() throws(JSONError) -> Int64 {
        guard case .integer(let integer) = value else { throw mismatch("a whole number") }
        return integer
    }

    public func elements() throws(JSONError) -> [JSONCursor] {
        guard case .array(let elements) = value else { throw mismatch("an array") }
        return elements.enumerated().map { JSONCursor($0.element, path: "\(path)[\($0.offset)]") }
    }

    /// The error that this value is not `expected` (an indefinite noun phrase).
    public func mismatch(_ expected: String) -> JSONError {
        JSONError.unexpected(path: path, expected: expected, found: summary)
    }

    private func path(of key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    /// Short enough for a message, whatever was in the file.
    private var summary: String {
        switch value {
        case .array(let elements): return "an array of \(elements.count)"
        case .object(let members): return "an object of \(members.count) members"
        default:
            let text = value.text()
            return text.count > 60 ? text.prefix(57) + "…" : text
        }
    }
}
