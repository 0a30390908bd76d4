import Addresses
import JSONText

// Members that this version does not know are errors: a newer program may have
// put a condition there without which applying the patch is not safe.

extension PatchManifest {
    /// Reads what ``json`` wrote. Checks types, ranges and encodings; what must
    /// hold between values is checked by ``checkConsistency()``.
    init(json: JSONValue) throws(ManifestError) {
        let top = JSONCursor(json)
        // The version decides before anything else what the rest may be.
        let version = try read { () throws(JSONError) in try top.member("formatVersion").integer() }
        guard version == Self.formatVersion else { throw ManifestError.version(version) }
        self = try read { () throws(JSONError) in try PatchManifest(top) }
    }

    private init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly([
            "formatVersion", "name", "version", "description", "references", "cumulative",
            "requires", "supersedes", "fixedIn", "base", "functions", "baseSymbols", "imports",
            "frameRegistries", "callbacks",
        ])
        self.init(
            name: try cursor.member("name").string(),
            version: try cursor.member("version").string(),
            description: try cursor.member("description").string(),
            references: try cursor.member("references").list { element throws(JSONError) in
                try element.string()
            },
            isCumulative: try cursor.optionalMember("cumulative")?.bool() ?? false,
            requires: try cursor.optionalMember("requires")?.list(PatchRequirement.init) ?? [],
            supersedes: try cursor.optionalMember("supersedes")?
                .list { name throws(JSONError) in try name.string() } ?? [],
            fixedIn: try cursor.optionalMember("fixedIn")?
                .list { build throws(JSONError) in try build.identity() } ?? [],
            base: try Base(try cursor.member("base")),
            functions: try cursor.member("functions").list(ReplacedFunction.init),
            baseSymbols: try cursor.member("baseSymbols").list(BaseSymbol.init),
            imports: try cursor.member("imports").list(ImportedSymbol.init),
            runsOnce: RunsOnce(
                registries: try cursor.optionalMember("frameRegistries")?
                    .list(FrameRegistry.init) ?? [],
                callbacks: try cursor.optionalMember("callbacks")?
                    .list { name throws(JSONError) in try name.symbolName() } ?? []))
    }
}

extension FrameRegistry {
    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly(["address", "import"])
        if let symbol = try cursor.optionalMember("import") {
            self = .imported(try ImportedSymbol(symbol))
        } else {
            self = .base(try cursor.member("address").address())
        }
    }
}

/// Why a JSON value is no manifest.
enum ManifestError: Error {
    case version(Int64)
    case structure(JSONError)
}

private func read<Value>(
    _ body: () throws(JSONError) -> Value
) throws(ManifestError) -> Value {
    do {
        return try body()
    } catch {
        throw ManifestError.structure(error)
    }
}

extension PatchRequirement {
    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly(["name", "digest"])
        self.init(name: try cursor.member("name").string())
        guard let digest = try cursor.optionalMember("digest") else { return }
        let bytes = try digest.hexadecimalBytes()
        guard bytes.count == 32 else { throw digest.mismatch("32 bytes in hexadecimal") }
        self.digest = bytes
    }
}

extension Base {
    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly(["buildId", "contentDigest", "fileName", "kind"])
        let identity: BaseIdentity
        if let digest = try cursor.optionalMember("contentDigest") {
            if try cursor.optionalMember("buildId") != nil {
                throw digest.mismatch("absent where there is a build id")
            }
            let bytes = try digest.hexadecimalBytes()
            guard bytes.count == 32 else { throw digest.mismatch("32 bytes in hexadecimal") }
            identity = .contentDigest(bytes)
        } else {
            let buildID = try cursor.member("buildId")
            let bytes = try buildID.hexadecimalBytes()
            guard (1...64).contains(bytes.count) else {
                throw buildID.mismatch("1 to 64 bytes in hexadecimal")
            }
            identity = .buildID(bytes)
        }
        self.init(
            identity: identity,
            fileName: try cursor.member("fileName").string(),
            kind: try cursor.member("kind").word(Kind.init(rawValue:), Kind.allCases))
    }
}

extension ReplacedFunction {
    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly([
            "symbol", "sourceFile", "address", "size", "fragments", "site", "island",
            "original", "replacement", "contract", "callsOriginal", "copies",
        ])
        self.init(
            symbol: try cursor.member("symbol").symbolName(),
            sourceFile: try cursor.optionalMember("sourceFile")?.string(),
            range: try cursor.range(),
            fragments: try cursor.member("fragments").list { part throws(JSONError) in
                try part.allowOnly(["address", "size"])
                return try part.range()
            },
            site: try cursor.member("site").address(),
            island: try cursor.optionalMember("island").map { place throws(JSONError) in
                try place.address()
            },
            original: try cursor.member("original").hexadecimalBytes(),
            replacement: try cursor.member("replacement").symbolName(),
            contract: try cursor.optionalMember("contract").map(EntryContract.init),
            callsOriginal: try cursor.optionalMember("callsOriginal")?.bool() ?? false,
            copies: try RemainingCopies(try cursor.member("copies")))
    }
}

extension EntryContract {
    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly(["preserve", "alignStack"])
        let list = try cursor.member("preserve")
        let preserve = try list.list { name throws(JSONError) in
            try name.word(KeptRegister.init(rawValue:), KeptRegister.allCases)
        }
        // One way to write a set keeps equal manifests equal.
        guard preserve == KeptRegister.allCases.filter(preserve.contains) else {
            throw list.mismatch("a list of different registers in the order of the format")
        }
        self.init(preserve: preserve, alignStack: try cursor.member("alignStack").bool())
    }
}

extension RemainingCopies {
    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly(["state", "list"])
        let state = try cursor.member("state")
        let list = try cursor.member("list")
        let copies = try list.list(RemainingCopy.init)
        switch try state.string() {
        case "none" where copies.isEmpty: self = .none
        case "none": throw list.mismatch("empty where the state is 'none'")
        case "accepted" where !copies.isEmpty: self = .accepted(copies)
        case "accepted": throw list.mismatch("not empty where the state is 'accepted'")
        case "unknown": self = .unknown(clones: copies)
        default: throw state.mismatch("'none', 'accepted' or 'unknown'")
        }
    }
}

extension RemainingCopy {
    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly(["kind", "function", "address", "sourceFile", "line"])
        self.init(
            kind: try cursor.member("kind").word(Kind.init(rawValue:), Kind.allCases),
            function: try cursor.member("function").symbolName(),
            address: try cursor.member("address").address(),
            sourceFile: try cursor.optionalMember("sourceFile")?.string(),
            line: try cursor.optionalMember("line")?.integer())
    }
}

extension BaseSymbol {
    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly(["name", "kind", "address", "offset", "size"])
        let kind = try cursor.member("kind")
        let location: Location
        switch try kind.string() {
        case "function": location = .function(try cursor.member("address").address())
        case "object": location = .object(try cursor.member("address").address())
        case "indirectFunction":
            location = .indirectFunction(try cursor.member("address").address())
        case "threadLocal":
            location = .threadLocal(offset: try cursor.member("offset").address().rawValue)
        default:
            throw kind.mismatch("'function', 'object', 'indirectFunction' or 'threadLocal'")
        }
        self.init(
            name: try cursor.member("name").symbolName(), location: location,
            size: try cursor.member("size").count())
    }
}

extension ImportedSymbol {
    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        try cursor.allowOnly(["name", "version", "library", "kind", "weak"])
        self.init(
            name: try cursor.member("name").symbolName(),
            version: try cursor.optionalMember("version")?.symbolName(),
            library: try cursor.optionalMember("library")?.symbolName(),
            kind: try cursor.member("kind").word(Kind.init(rawValue:), Kind.allCases),
            weak: try cursor.member("weak").bool())
    }
}

extension JSONCursor {
    fileprivate func list<Element>(
        _ convert: (JSONCursor) throws(JSONError) -> Element
    ) throws(JSONError) -> [Element] {
        var result: [Element] = []
        for element in try elements() { result.append(try convert(element)) }
        return result
    }

    /// One word of a fixed set.
    fileprivate func word<Word: RawRepresentable<String>>(
        _ make: (String) -> Word?, _ all: [Word]
    ) throws(JSONError) -> Word {
        guard let word = make(try string()) else {
            throw mismatch("one of " + all.map { "'\($0.rawValue)'" }.joined(separator: ", "))
        }
        return word
    }

    /// Linkers accept any name but the empty one.
    fileprivate func symbolName() throws(JSONError) -> String {
        let name = try string()
        guard !name.isEmpty else { throw mismatch("not empty") }
        return name
    }

    fileprivate func identity() throws(JSONError) -> BaseIdentity {
        guard let identity = BaseIdentity(try string()) else {
            throw mismatch("a build id in hexadecimal, or 'blake2b:' and a digest")
        }
        return identity
    }

    fileprivate func address() throws(JSONError) -> LinkAddress {
        LinkAddress(rawValue: try hexadecimalNumber())
    }

    fileprivate func count() throws(JSONError) -> UInt64 {
        guard let count = UInt64(exactly: try integer()) else {
            throw mismatch("a whole number, zero or greater")
        }
        return count
    }

    /// The range of this object's members `address` and `size`.
    fileprivate func range() throws(JSONError) -> AddressRange<LinkAddress> {
        let size = try member("size")
        guard
            let range = AddressRange(
                start: try member("address").address(), count: try size.count())
        else { throw size.mismatch("a size within the address space") }
        return range
    }
}

extension Optional {
    /// `map` with a typed error.
    fileprivate func map<Result>(
        _ transform: (Wrapped) throws(JSONError) -> Result
    ) throws(JSONError) -> Result? {
        switch self {
        case .none: nil
        case .some(let value): try transform(value)
        }
    }
}
