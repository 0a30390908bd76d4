import JSONText
import PatchFile
import SystemPackage

/// One particular patch file: two builds of a patch have one name and two digests.
public struct PatchID: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    /// BLAKE2b-256 of the file, in hexadecimal, as a payload in a process tells it too.
    public let digest: String

    public init(name: String, digest: String) {
        self.name = name
        self.digest = digest
    }

    public init(_ patch: PatchFile) {
        self.init(name: patch.manifest.name, digest: Hexadecimal.text(patch.digest))
    }

    public var description: String { "\(name) (\(digest.prefix(12))…)" }
}

/// What the list of installed patches says of one.
public struct SeriesEntry: Equatable, Sendable {
    public var id: PatchID
    public var base: BaseIdentity
    public var installedAt: Moment
    /// Who installed it, for people.
    public var by: String
    /// Where files of the base were found when it was installed. They may be other
    /// builds by now.
    public var paths: [FilePath]

    public init(
        id: PatchID, base: BaseIdentity, installedAt: Moment, by: String, paths: [FilePath]
    ) {
        self.id = id
        self.base = base
        self.installedAt = installedAt
        self.by = by
        self.paths = paths
    }
}

/// A patch that is to be applied wherever its base runs.
public struct InstalledPatch: Sendable {
    public let entry: SeriesEntry
    public let file: PatchFile

    public var id: PatchID { entry.id }
    public var name: String { entry.id.name }
    public var digest: String { entry.id.digest }
    public var base: BaseIdentity { entry.base }
    public var installedAt: Moment { entry.installedAt }
    public var paths: [FilePath] { entry.paths }
}

/// A patch that is installed and cannot be used: it is skipped, and the others are not.
public struct DamagedPatch: Sendable {
    public enum Reason: Error, Equatable, Sendable {
        case missing
        case untrusted(TrustDefect)
        case unreadable(PatchFileError)
        /// The file is a patch, but not the one that was installed.
        case otherFile(PatchID)
        case otherBase(BaseIdentity)
    }

    public let entry: SeriesEntry
    public let path: FilePath
    public let reason: Reason

    public var name: String { entry.id.name }
}

extension DamagedPatch: CustomStringConvertible {
    /// A stable code for scripts.
    public var code: String {
        switch reason {
        case .missing: "store.patch-missing"
        case .untrusted: "store.untrusted"
        case .unreadable(let error): error.code
        case .otherFile: "store.wrong-digest"
        case .otherBase: "store.wrong-base"
        }
    }

    public var description: String {
        let why =
            switch reason {
            case .missing: "'\(path)' is gone"
            case .untrusted(let defect): defect.sentence(about: path)
            case .unreadable(let error): error.description
            case .otherFile(let found): "'\(path)' is another patch by now: \(found)"
            case .otherBase(let found): "'\(path)' is for another base by now: \(found)"
            }
        return "the installed patch '\(name)' is skipped: \(why); install it again, or take it "
            + "out: hotpatch uninstall \(name)"
    }
}

/// A patch that is installed no more, and may still be applied in a process: the tool
/// was killed, or threads were busy in it.
public struct WithdrawnPatch: Hashable, Sendable {
    public let id: PatchID
    public let base: BaseIdentity

    public init(id: PatchID, base: BaseIdentity) {
        self.id = id
        self.base = base
    }
}

/// What is in the store at one moment.
public struct StoreContents: Sendable {
    /// Grows with each change of the store.
    public let revision: Int64
    /// All that is listed, in the order in which it is to be applied.
    public let entries: [SeriesEntry]
    /// Those that can be used, in that order.
    public let patches: [InstalledPatch]
    public let damaged: [DamagedPatch]
    public let withdrawn: [WithdrawnPatch]

    public static let empty = StoreContents(
        revision: 0, entries: [], patches: [], damaged: [], withdrawn: [])

    /// The patches for one base, in order.
    public func series(of base: BaseIdentity) -> [InstalledPatch] {
        patches.filter { $0.base == base }
    }

    /// What goes into a process that has none of it yet, in that order: not what
    /// requires a patch that cannot be used.
    public var applicable: [InstalledPatch] {
        let bases = Dictionary(grouping: items, by: \.base)
        let coming = Set(
            bases.values.flatMap {
                Series.plan(installed: $0, withdrawn: [], applied: []).apply
            })
        return patches.filter { coming.contains($0.id) }
    }

    /// What there is for some bases only.
    public func limited(to bases: Set<BaseIdentity>) -> StoreContents {
        StoreContents(
            revision: revision, entries: entries.filter { bases.contains($0.base) },
            patches: patches.filter { bases.contains($0.base) },
            damaged: damaged.filter { bases.contains($0.entry.base) },
            withdrawn: withdrawn.filter { bases.contains($0.base) })
    }

    /// Every base that patches are installed for, in the order of their first.
    public var bases: [BaseIdentity] {
        var seen: Set<BaseIdentity> = []
        return patches.map(\.base).filter { seen.insert($0).inserted }
    }
}
