import CJSON

extension JSONValue {
    /// How many arrays and objects may stand in each other.
    public static let maximumDepth = 64

    /// Reads one JSON text. Duplicate keys, invalid UTF-8, numbers out of range
    /// and anything behind the text are errors.
    ///
    /// - Parameter limit: the number of bytes that is accepted at most, which
    ///   bounds the memory that a hostile text can cost.
    public init(parsing bytes: [UInt8], limit: Int = 16 << 20) throws(JSONError) {
        guard bytes.count <= limit else {
            throw JSONError.tooLong(bytes: bytes.count, limit: limit)
        }
        let document = try JSONDocument(bytes)
        self = try document.value()
    }

    public init(parsing text: String, limit: Int = 16 << 20) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), limit: limit)
    }
}

/// The tree that Jansson made, freed with this value.
@safe private struct JSONDocument: ~Copyable {
    private let root: OpaquePointer

    init(_ bytes: [UInt8]) throws(JSONError) {
        var error = cjson_error()
        let parsed = unsafe bytes.withUnsafeBytes { buffer -> OpaquePointer? in
            // An empty array has no address; Jansson wants one.
            guard let start = buffer.baseAddress else { return unsafe cjson_parse("", 0, &error) }
            return unsafe cjson_parse(
                start.assumingMemoryBound(to: CChar.self), buffer.count, &error)
        }
        guard let parsed = unsafe parsed else {
            let reason = unsafe withUnsafeBytes(of: error.text) { text in
                unsafe String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw JSONError.malformed(
                line: Int(error.line), column: Int(error.column), reason: reason)
        }
        unsafe root = parsed
    }

    deinit { unsafe cjson_free(root) }

    func value() throws(JSONError) -> JSONValue {
        try unsafe Self.convert(root, depth: 0)
    }

    private static func convert(
        _ value: OpaquePointer, depth: Int
    ) throws(JSONError) -> JSONValue {
        switch unsafe cjson_type_of(value) {
        case CJSON_FALSE: return .bool(false)
        case CJSON_TRUE: return .bool(true)
        case CJSON_INTEGER: return .integer(unsafe cjson_integer(value))
        case CJSON_REAL: return .number(unsafe cjson_real(value))
        case CJSON_STRING: return .string(unsafe string(value))
        case CJSON_ARRAY:
            guard depth < JSONValue.maximumDepth else {
                throw JSONError.tooDeep(limit: JSONValue.maximumDepth)
            }
            return .array(try unsafe elements(value, depth: depth))
        case CJSON_OBJECT:
            guard depth < JSONValue.maximumDepth else {
                throw JSONError.tooDeep(limit: JSONValue.maximumDepth)
            }
            return .object(try unsafe members(value, depth: depth))
        default: return .null
        }
    }

    private static func string(_ value: OpaquePointer) -> String {
        var length = 0
        let bytes = unsafe cjson_string(value, &length)
        return unsafe UnsafeBufferPointer(start: bytes, count: length)
            .withMemoryRebound(to: UInt8.self) { unsafe String(decoding: $0, as: UTF8.self) }
    }

    private static func elements(
        _ array: OpaquePointer, depth: Int
    ) throws(JSONError) -> [JSONValue] {
        var result: [JSONValue] = []
        for index in 0..<(unsafe cjson_array_count(array)) {
            guard let element = unsafe cjson_array_at(array, index) else { break }
            result.append(try unsafe convert(element, depth: depth + 1))
        }
        return result
    }

    private static func members(
        _ object: OpaquePointer, depth: Int
    ) throws(JSONError) -> [JSONMember] {
        var result: [JSONMember] = []
        var iterator: UnsafeMutableRawPointer?
        while true {
            var key: UnsafePointer<CChar>?
            var member: OpaquePointer?
            unsafe iterator = cjson_object_next(object, iterator, &key, &member)
            guard unsafe iterator != nil, let key = unsafe key, let member = unsafe member else {
                return result
            }
            let value = try unsafe convert(member, depth: depth + 1)
            result.append(JSONMember(unsafe String(cString: key), value))
        }
    }
}
