import Addresses
import Glibc
import PatchFile
import SystemPackage
import TestSupport
import Testing

@testable import PatchStore

/// Patches for bases that no process runs.
enum SamplePatch {
    private static let object = Result {
        let folder = try TemporaryDirectory()
        let source = try folder.write(
            "int one(void) { return 1; } int two(void) { return 2; } int three(void) { return 3; }",
            to: "fix.c")
        let output = folder.path.appending("fix.o")
        try Fixture.compile(
            source: source, to: output,
            flags: ["-c", "-fPIC", "-O1", "-ffunction-sections", "-fcf-protection=none"])
        return try output.bytes()
    }

    static let base = BaseIdentity.buildID([0xba, 0x5e, 0, 0, 0, 0, 0, 1])
    static let otherBase = BaseIdentity.buildID([0xba, 0x5e, 0, 0, 0, 0, 0, 2])

    /// The file's bytes.
    ///
    /// - Parameters:
    ///   - version: makes it another file of the same name.
    ///   - functions: some of `one`, `two` and `three`.
    static func bytes(
        _ name: String, version: String = "1", for base: BaseIdentity = base,
        functions: [String] = ["one"], requires: [String] = [], supersedes: [String] = [],
        isCumulative: Bool = false, fixedIn: [BaseIdentity] = []
    ) throws -> [UInt8] {
        let manifest = PatchManifest(
            name: name, version: version, isCumulative: isCumulative,
            requires: requires.compactMap { PatchRequirement($0) }, supersedes: supersedes,
            fixedIn: fixedIn,
            base: Base(identity: base, fileName: "daemon", kind: .positionIndependentExecutable),
            functions: try functions.map(function))
        return try PatchFile.make(object: object.get(), manifest: manifest, name: name).bytes
    }

    static func candidate(_ name: String, version: String = "1") throws -> PatchCandidate {
        try PatchCandidate(bytes: bytes(name, version: version), name: name)
    }

    private static func function(_ name: String) throws -> ReplacedFunction {
        let place = try #require(["one", "two", "three"].firstIndex(of: name))
        let start = LinkAddress(rawValue: 0x1000 + UInt64(place) * 0x100)
        return ReplacedFunction(
            symbol: name, range: try #require(AddressRange(start: start, count: 16)), site: start,
            original: Array(repeating: 0x90, count: 16), replacement: name)
    }
}

/// A store of a test's own, which goes with this value.
struct SampleStore {
    let directory: TemporaryDirectory
    let locations: Locations
    let store: PatchStore

    init() throws {
        directory = try TemporaryDirectory()
        locations = Self.locations(in: directory.path)
        store = try PatchStore(opening: locations)
    }

    static func locations(in folder: FilePath) -> Locations {
        Locations(
            state: folder.appending("state"), config: folder.appending("config"),
            run: folder.appending("run"), journal: folder.appending("journal"))
    }

    /// What the tool needs to work here.
    var environment: [String: String] {
        [
            "HOTPATCH_STATE_DIR": locations.state.string,
            "HOTPATCH_CONFIG_DIR": locations.config.string,
            "HOTPATCH_RUN_DIR": locations.run.string,
            "HOTPATCH_JOURNAL_SOCKET": locations.journal.string,
        ]
    }

    func change<R>(_ body: (borrowing StoreChange) throws(StoreError) -> R) throws -> R {
        try store.change(timeout: .seconds(30), failure: { $0 }, body)
    }

    @discardableResult
    func install(_ candidates: PatchCandidate..., replacing: Bool = false) throws -> [Series
        .Outcome]
    {
        try change { change throws(StoreError) in
            try change.install(
                candidates, replacing: replacing, by: "test", paths: { _ in ["/srv/daemon"] })
        }
    }

    func uninstall(_ names: String...) throws {
        try change { change throws(StoreError) in
            try change.uninstall(change.read().entries.filter { names.contains($0.id.name) })
        }
    }

    func names() throws -> [String] { try store.read().patches.map(\.name) }

    /// What lies in the folder of patches.
    func files() throws -> Set<String> { Set(try DirectoryNames.of(locations.patches)) }

    /// The file of an installed patch.
    func file(of name: String) throws -> FilePath {
        let entry = try #require(try store.read().entries.first { $0.id.name == name })
        return store.path(of: entry.id)
    }

    /// Runs the tool here.
    func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Command {
        try Command.run(
            BuiltProduct.path("hotpatch").string, arguments,
            environment: self.environment.merging(environment) { $1 })
    }

    /// A patch's file, outside of the store.
    func write(_ bytes: [UInt8], as name: String) throws -> String {
        let path = directory.path.appending(name + ".hpatch")
        try path.write(bytes)
        return path.string
    }
}

/// Numbers that come again with the same seed (SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
