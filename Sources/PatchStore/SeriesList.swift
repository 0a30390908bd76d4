import JSONText
import PatchFile
import SystemPackage

/// What `series.json` holds.
struct SeriesList: Equatable {
    static let schema: Int64 = 1
    /// More changes than anybody makes.
    static let revisionLimit: Int64 = 1 << 53
    /// More bytes than any list needs.
    static let sizeLimit = 16 << 20

    /// Grows with each change.
    var revision: Int64 = 0
    /// In the order in which the patches are to be applied.
    var entries: [SeriesEntry] = []
    var withdrawn: [WithdrawnPatch] = []

    var json: JSONValue {
        [
            "schema": .integer(Self.schema),
            "revision": .integer(revision),
            "patches": .array(entries.map(\.json)),
            "withdrawn": .array(
                withdrawn.map { .object($0.id.members + [baseMember($0.base)]) }),
        ]
    }

    init() {}

    init(parsing bytes: [UInt8]) throws(JSONError) {
        let top = JSONCursor(try JSONValue(parsing: bytes, limit: Self.sizeLimit))
        let schema = try top.member("schema")
        guard try schema.integer() == Self.schema else {
            throw schema.mismatch("\(Self.schema), the one that this program knows")
        }
        if let member = try top.optionalMember("revision") {
            revision = try member.integer()
            guard (0..<Self.revisionLimit).contains(revision) else {
                throw member.mismatch("a number from 0 to \(Self.revisionLimit)")
            }
        }
        for cursor in try top.member("patches").elements() {
            let entry = try SeriesEntry(cursor)
            // Two of one name and one base could never be applied together.
            if entries.contains(where: { $0.id.name == entry.id.name && $0.base == entry.base }) {
                throw cursor.mismatch("another patch than those before it")
            }
            entries.append(entry)
        }
        for cursor in try top.member("withdrawn").elements() {
            withdrawn.append(
                WithdrawnPatch(id: try PatchID(cursor), base: try cursor.base()))
        }
    }
}

private func baseMember(_ base: BaseIdentity) -> JSONMember {
    JSONMember("base", .string("\(base)"))
}

extension PatchID {
    fileprivate var members: [JSONMember] {
        [JSONMember("name", .string(name)), JSONMember("digest", .string(digest))]
    }

    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        let name = try cursor.member("name")
        // It becomes part of a file's name.
        guard PatchManifest.isValidName(try name.string()) else {
            throw name.mismatch("a patch's name")
        }
        let digest = try cursor.member("digest")
        let bytes = try digest.hexadecimalBytes()
        guard bytes.count == 32 else { throw digest.mismatch("32 bytes in hexadecimal") }
        self.init(name: try name.string(), digest: Hexadecimal.text(bytes))
    }
}

extension SeriesEntry {
    fileprivate var json: JSONValue {
        .object(
            id.members + [
                baseMember(base),
                JSONMember("installedAt", .string("\(installedAt)")),
                JSONMember("by", .string(by)),
                JSONMember("paths", .array(paths.map { .string($0.string) })),
            ])
    }

    fileprivate init(_ cursor: JSONCursor) throws(JSONError) {
        let installedAt = try cursor.member("installedAt")
        guard let moment = Moment(try installedAt.string()) else {
            throw installedAt.mismatch("a moment such as \"2026-11-23T06:30:06Z\"")
        }
        var paths: [FilePath] = []
        for path in try cursor.member("paths").elements() {
            paths.append(FilePath(try path.string()))
        }
        self.init(
            id: try PatchID(cursor), base: try cursor.base(), installedAt: moment,
            by: try cursor.member("by").string(), paths: paths)
    }
}

extension JSONCursor {
    fileprivate func base() throws(JSONError) -> BaseIdentity {
        let base = try member("base")
        guard let identity = BaseIdentity(try base.string()) else {
            throw base.mismatch("a build id in hexadecimal, or 'blake2b:' and a digest")
        }
        return identity
    }
}
