/// One JSON value (RFC 8259). Objects keep the order of their members, so that
/// what is written is the same every time.
public indirect enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    /// Every whole number in the range of `Int64`. Wider values (addresses)
    /// travel as strings.
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([JSONMember])

    /// The first member of that name, or nil where there is none or where the
    /// value is not an object.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }
}

/// A named value inside an object.
public struct JSONMember: Equatable, Sendable {
    public let key: String
    public let value: JSONValue

    public init(_ key: String, _ value: JSONValue) {
        self.key = key
        self.value = value
    }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByIntegerLiteral, ExpressibleByStringInterpolation, ExpressibleByArrayLiteral,
    ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(elements.map { JSONMember($0.0, $0.1) })
    }
}

/// Why a text is not the JSON that was expected.
public enum JSONError: Error, Equatable, CustomStringConvertible {
    /// Not JSON at all, with what the parser found at that place.
    case malformed(line: Int, column: Int, reason: String)
    /// More bytes than the reader was told to accept.
    case tooLong(bytes: Int, limit: Int)
    /// Arrays and objects in each other beyond ``JSONValue/maximumDepth``.
    case tooDeep(limit: Int)
    /// An object lacks a member that must be there; `path` as in `functions[2].site`.
    case missing(path: String)
    /// A value is there, but is not what it must be.
    case unexpected(path: String, expected: String, found: String)
    /// An object has a member that this version does not know.
    case unknown(path: String)

    public var description: String {
        switch self {
        case .malformed(let line, let column, let reason):
            "not valid JSON at line \(line), column \(column): \(reason)"
        case .tooLong(let bytes, let limit):
            "the JSON text has \(bytes) bytes, more than the limit of \(limit)"
        case .tooDeep(let limit):
            "the JSON text nests arrays and objects deeper than \(limit) levels"
        case .missing(let path):
            "'\(path)' is missing"
        case .unexpected(let path, let expected, let found):
            "'\(path)' must be \(expected), but is \(found)"
        case .unknown(let path):
            "'\(path)' is not known to this version"
        }
    }
}
