import Addresses
import ELFImage
import JSONText

/// The first bytes of every payload: a fixed head that says where the record is.
///
///     0   8  "HOTPATCH"
///     8   4  format, 2
///     12  4  length of the record in bytes, which follows at once
///     16  …  the record, JSON
public enum PayloadHeader {
    public static let size = 16
    public static let magic: [UInt8] = Array("HOTPATCH".utf8)
    public static let format: UInt32 = 2
    /// A record longer than this is not one of ours.
    public static let recordLimit = 16 << 20

    /// What the payload's mapping is called in `/proc/PID/maps`, behind the
    /// kernel's `/memfd:`.
    public static func mappingName(patch name: String) -> String { "hotpatch:" + name }

    static func encode(_ record: PayloadRecord) -> [UInt8] {
        let text = record.json.bytes()
        return magic + littleEndian(format) + littleEndian(UInt32(text.count)) + text
    }

    /// The length of the record behind this head, or nil where the bytes are no
    /// head of a payload.
    public static func recordLength(head: [UInt8]) -> Int? {
        let bytes = ByteView(head)
        guard head.starts(with: magic), bytes.load(8, as: UInt32.self) == format,
            let length = bytes.load(12, as: UInt32.self), length <= recordLimit
        else { return nil }
        return Int(length)
    }

    static func littleEndian<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
        (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
}

extension PayloadRecord {
    /// Addresses are written with sixteen digits, so that a record's length does
    /// not depend on where the payload lies.
    var json: JSONValue {
        [
            "name": .string(name),
            "version": .string(version),
            "digest": .string(digest),
            "base": .string(base),
            "object": .string(object),
            "bias": Self.text(bias.rawValue),
            "payload": [
                "start": Self.text(extent.start.rawValue),
                "readOnly": Self.text(extent.readOnly),
                "code": Self.text(extent.code),
                "writable": Self.text(extent.writable),
            ],
            "unwind": Self.text(unwind),
            "confined": .bool(isConfined),
            "callbacks": .array(callbacks.map(JSONValue.string)),
            "onceWord": onceWord.map { Self.text($0.rawValue) } ?? .null,
            "detours": .array(detours.map(\.json)),
        ]
    }

    /// The record in `bytes`, the JSON text behind a payload's head.
    public init(parsing bytes: [UInt8]) throws(JSONError) {
        let root = JSONCursor(
            try JSONValue(parsing: bytes, limit: PayloadHeader.recordLimit))
        name = try root.member("name").string()
        version = try root.member("version").string()
        digest = try root.member("digest").string()
        base = try root.member("base").string()
        object = try root.member("object").string()
        bias = LoadBias(rawValue: try root.member("bias").hexadecimalNumber())
        let payload = try root.member("payload")
        extent = PayloadExtent(
            start: try payload.member("start").address(),
            readOnly: try payload.member("readOnly").hexadecimalNumber(),
            code: try payload.member("code").hexadecimalNumber(),
            writable: try payload.member("writable").hexadecimalNumber())
        unwind = try root.member("unwind").addressRange()
        isConfined = try root.member("confined").bool()
        var callbacks: [String] = []
        for name in try root.optionalMember("callbacks")?.elements() ?? [] {
            callbacks.append(try name.string())
        }
        self.callbacks = callbacks
        onceWord = try root.optionalMember("onceWord")?.address()
        var detours: [Detour] = []
        for element in try root.member("detours").elements() {
            detours.append(try Detour(element))
        }
        self.detours = detours
    }

    fileprivate static func text(_ number: UInt64) -> JSONValue {
        .string(Hexadecimal.text(number, width: 16))
    }

    fileprivate static func text(_ range: AddressRange<RemoteAddress>) -> JSONValue {
        [text(range.start.rawValue), text(range.end.rawValue)]
    }
}

extension PayloadRecord.Detour {
    fileprivate var json: JSONValue {
        [
            "symbol": .string(symbol),
            "site": PayloadRecord.text(site.rawValue),
            "original": .string(Hexadecimal.text(original)),
            "island": island?.json ?? .null,
            "entry": PayloadRecord.text(entry.rawValue),
            "stub": PayloadRecord.text(stub.rawValue),
            "moved": moved.map { PayloadRecord.text($0.rawValue) } ?? .null,
            "replaced": .array(replaced.map { PayloadRecord.text($0) }),
        ]
    }

    fileprivate init(_ detour: JSONCursor) throws(JSONError) {
        symbol = try detour.member("symbol").string()
        site = try detour.member("site").address()
        original = try detour.member("original").hexadecimalBytes()
        island =
            if let island = try detour.optionalMember("island") { try Island(island) } else { nil }
        entry = try detour.member("entry").address()
        stub = try detour.member("stub").address()
        moved = try detour.optionalMember("moved")?.address()
        var replaced: [AddressRange<RemoteAddress>] = []
        for element in try detour.member("replaced").elements() {
            replaced.append(try element.addressRange())
        }
        self.replaced = replaced
        guard original.count == (island == nil ? 5 : 2) else {
            throw try detour.member("original").mismatch("five bytes, or two with an island")
        }
    }
}

extension PayloadRecord.Detour.Island {
    fileprivate var json: JSONValue {
        [
            "address": PayloadRecord.text(address.rawValue),
            "padding": .string(Hexadecimal.text(padding)),
        ]
    }

    fileprivate init(_ island: JSONCursor) throws(JSONError) {
        address = try island.member("address").address()
        padding = try island.member("padding").hexadecimalBytes()
        guard padding.count == 5 else {
            throw try island.member("padding").mismatch("five bytes")
        }
    }
}

extension JSONCursor {
    fileprivate func address() throws(JSONError) -> RemoteAddress {
        RemoteAddress(rawValue: try hexadecimalNumber())
    }

    fileprivate func addressRange() throws(JSONError) -> AddressRange<RemoteAddress> {
        let bounds = try elements()
        guard bounds.count == 2,
            let range = AddressRange(start: try bounds[0].address(), end: try bounds[1].address())
        else { throw mismatch("a range of addresses: [start, end]") }
        return range
    }
}
