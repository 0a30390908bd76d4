import Addresses
import JSONText

extension PatchManifest {
    /// The manifest as JSON. Equal manifests give equal text; `show --format
    /// json` prints the same members.
    public var json: JSONValue {
        .object(
            [
                JSONMember("formatVersion", .integer(Self.formatVersion)),
                JSONMember("name", .string(name)),
                JSONMember("version", .string(version)),
                JSONMember("description", .string(description)),
                JSONMember("references", .array(references.map(JSONValue.string))),
                JSONMember("cumulative", .bool(isCumulative)),
            ] + seriesMembers + [
                JSONMember("base", base.json),
                JSONMember("functions", .array(functions.map(\.json))),
                JSONMember("baseSymbols", .array(baseSymbols.map(\.json))),
                JSONMember("imports", .array(imports.map(\.json))),
            ] + onceMembers)
    }

    /// Left out as the others are; a program that does not know of them refuses them.
    private var onceMembers: [JSONMember] {
        [
            JSONMember("frameRegistries", .array(runsOnce.registries.map(\.json))),
            JSONMember("callbacks", .array(runsOnce.callbacks.map(JSONValue.string))),
        ].filter { $0.value != .array([]) }
    }

    /// Left out where there is nothing to say, so that programs that do not know of
    /// series read the patch too.
    private var seriesMembers: [JSONMember] {
        [
            JSONMember("requires", .array(requires.map(\.json))),
            JSONMember("supersedes", .array(supersedes.map(JSONValue.string))),
            JSONMember("fixedIn", .array(fixedIn.map { .string("\($0)") })),
        ].filter { $0.value != .array([]) }
    }
}

extension FrameRegistry {
    fileprivate var json: JSONValue {
        switch self {
        case .base(let address): ["address": address.json]
        case .imported(let symbol): ["import": symbol.json]
        }
    }
}

extension PatchRequirement {
    fileprivate var json: JSONValue {
        guard let digest else { return ["name": .string(name)] }
        return ["name": .string(name), "digest": .string(Hexadecimal.text(digest))]
    }
}

extension Base {
    fileprivate var json: JSONValue {
        let identity =
            switch identity {
            case .buildID(let bytes): JSONMember("buildId", .string(Hexadecimal.text(bytes)))
            case .contentDigest(let bytes):
                JSONMember("contentDigest", .string(Hexadecimal.text(bytes)))
            }
        return .object([
            identity,
            JSONMember("fileName", .string(fileName)),
            JSONMember("kind", .string(kind.rawValue)),
        ])
    }
}

extension ReplacedFunction {
    fileprivate var json: JSONValue {
        [
            "symbol": .string(symbol),
            "sourceFile": sourceFile.map(JSONValue.string) ?? .null,
            "address": range.start.json,
            "size": .integer(Int64(clamping: range.count)),
            "fragments": .array(fragments.map(\.json)),
            "site": site.json,
            "island": island.map(\.json) ?? .null,
            "original": .string(Hexadecimal.text(original)),
            "replacement": .string(replacement),
            "contract": contract.map(\.json) ?? .null,
            "callsOriginal": .bool(callsOriginal),
            "copies": copies.json,
        ]
    }
}

extension EntryContract {
    fileprivate var json: JSONValue {
        [
            "preserve": .array(preserve.map { .string($0.rawValue) }),
            "alignStack": .bool(alignStack),
        ]
    }
}

extension RemainingCopies {
    fileprivate var json: JSONValue {
        switch self {
        case .none: ["state": "none", "list": []]
        case .accepted(let copies): ["state": "accepted", "list": .array(copies.map(\.json))]
        case .unknown(let clones): ["state": "unknown", "list": .array(clones.map(\.json))]
        }
    }
}

extension RemainingCopy {
    fileprivate var json: JSONValue {
        [
            "kind": .string(kind.rawValue),
            "function": .string(function),
            "address": address.json,
            "sourceFile": sourceFile.map(JSONValue.string) ?? .null,
            "line": line.map(JSONValue.integer) ?? .null,
        ]
    }
}

extension BaseSymbol {
    fileprivate var json: JSONValue {
        let (kind, place) =
            switch location {
            case .function(let address): ("function", JSONMember("address", address.json))
            case .object(let address): ("object", JSONMember("address", address.json))
            case .indirectFunction(let address):
                ("indirectFunction", JSONMember("address", address.json))
            case .threadLocal(let offset):
                ("threadLocal", JSONMember("offset", LinkAddress(rawValue: offset).json))
            }
        return .object([
            JSONMember("name", .string(name)),
            JSONMember("kind", .string(kind)),
            place,
            JSONMember("size", .integer(Int64(clamping: size))),
        ])
    }
}

extension ImportedSymbol {
    fileprivate var json: JSONValue {
        [
            "name": .string(name),
            "version": version.map(JSONValue.string) ?? .null,
            "library": library.map(JSONValue.string) ?? .null,
            "kind": .string(kind.rawValue),
            "weak": .bool(weak),
        ]
    }
}

extension AddressRange<LinkAddress> {
    fileprivate var json: JSONValue {
        ["address": start.json, "size": .integer(Int64(clamping: count))]
    }
}

extension LinkAddress {
    /// A string: 64-bit addresses do not fit the numbers of many JSON readers.
    fileprivate var json: JSONValue { .string(description) }
}
