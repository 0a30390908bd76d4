import JSONText
import PatchFile

/// A patch as the rules of a series see it.
public struct SeriesItem: Equatable, Sendable {
    public let id: PatchID
    public let base: BaseIdentity
    public var requires: [PatchRequirement] = []
    public var supersedes: Set<String> = []
    public var isCumulative = false
    public var fixedIn: Set<BaseIdentity> = []
    /// The functions that it replaces: the later of two patches of one function
    /// stands on the earlier one.
    public var symbols: Set<String> = []
    /// Whether its file can be used; nothing is known of one that is damaged.
    public var isSound = true

    public init(id: PatchID, base: BaseIdentity) {
        self.id = id
        self.base = base
    }

    public init(_ patch: PatchFile) {
        let manifest = patch.manifest
        self.init(id: PatchID(patch), base: manifest.base.identity)
        requires = manifest.requires
        supersedes = Set(manifest.supersedes)
        isCumulative = manifest.isCumulative
        fixedIn = Set(manifest.fixedIn)
        symbols = Set(manifest.functions.map(\.symbol))
    }

    /// Whether it takes the place of `other`.
    func replaces(_ other: SeriesItem) -> Bool {
        base == other.base && id.name != other.id.name
            && (isCumulative || supersedes.contains(other.id.name))
    }

    /// Whether it must come after `other` in a process.
    public func dependsOn(_ other: SeriesItem) -> Bool {
        requires.contains { $0.isMet(by: other.id) } || !symbols.isDisjoint(with: other.symbols)
    }
}

extension PatchRequirement {
    func isMet(by id: PatchID) -> Bool {
        name == id.name && (digest.map { Hexadecimal.text($0) == id.digest } ?? true)
    }
}

/// Why a change of what is installed is refused. Nothing was changed.
public enum SeriesRefusal: Error, Equatable, Sendable {
    /// Another patch of that name is installed for the same base.
    case nameTaken(PatchID, installed: PatchID)
    case requirementMissing(PatchID, PatchRequirement, base: BaseIdentity)
    /// Another patch, which stays, requires the one that is to go.
    case required(PatchID, by: PatchID)
    case notInstalled(name: String, installed: [String])

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .nameTaken: "series.name-taken"
        case .requirementMissing: "series.requirement-missing"
        case .required: "series.required"
        case .notInstalled: "series.not-installed"
        }
    }
}

extension SeriesRefusal: CustomStringConvertible {
    public var description: String {
        switch self {
        case .nameTaken(let patch, let installed):
            return "another patch called '\(patch.name)' is installed for that base: \(installed), "
                + "and this is \(patch); use --replace to put this one in its place"
        case .requirementMissing(let patch, let requirement, let base):
            return
                "'\(patch.name)' requires '\(requirement)', which is not installed before it for "
                + "build \(base); install that first"
        case .required(let patch, let by):
            return "'\(patch.name)' cannot go, since '\(by.name)' requires it; uninstall "
                + "'\(by.name)' too"
        case .notInstalled(let name, let installed):
            return "no patch called '\(name)' is installed"
                + (installed.isEmpty
                    ? "; none is" : "; installed: " + installed.joined(separator: ", "))
                + "; what was applied without installing goes with 'hotpatch revert \(name) --all'"
        }
    }
}
