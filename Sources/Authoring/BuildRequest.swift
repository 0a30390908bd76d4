import Addresses
import PatchFile
import SystemPackage

/// What `build` is asked for.
public struct BuildRequest: Sendable {
    /// The linked ELF object whose functions are replaced.
    public var base: FilePath
    /// Sources that the compiler takes, mostly C.
    public var sources: [FilePath]
    public var output: FilePath
    /// The compiler; nil for $CC, or else `cc`.
    public var compiler: String?
    /// The user's own flags; they come behind those that may be changed.
    public var compilerFlags: [String] = []
    /// What the patch says of itself.
    public var label: PatchLabel
    /// Which of several symbols of one name is meant.
    public var picks: [String: Pick] = [:]
    /// Whether clones and inlined copies of a replaced function may stay.
    public var acceptCopies = false
    /// Whether the author knows that no exception passes through what is replaced, so
    /// that no unwinder is told of it.
    public var acceptExceptions = false
    /// Variables of which the fix shall have its own, though the base has one
    /// of that name.
    public var newData: Set<String> = []
    /// Folders in which libraries are looked for first, as by LD_LIBRARY_PATH.
    public var libraryPaths: [FilePath] = []

    public init(base: FilePath, sources: [FilePath], output: FilePath) {
        self.base = base
        self.sources = sources
        self.output = output
        label = PatchLabel(for: output)
    }
}

/// How a user chooses one of several symbols of the same name.
public enum Pick: Hashable, Sendable {
    /// The one from this source file, by its last path component.
    case sourceFile(String)
    case address(LinkAddress)
}

/// What `build` made.
public struct BuildReport: Sendable {
    public let output: FilePath
    public let patch: PatchFile
    public let warnings: [BuildWarning]
}

/// What a person should know about a patch that was made.
public enum BuildWarning: Hashable, Sendable {
    /// Without debug information inlined copies of `function` cannot be told.
    case copiesUnknown(function: String, base: String)
    /// Copies of `function` stay, as was accepted.
    case copiesRemain(function: String, count: Int)
    /// The compiler may have told the direct callers of a local function more
    /// about it than can be seen.
    case localFunction(String)
    /// The base has the same code under other names, which are replaced with it.
    case aliases(function: String, others: [String])
    /// The patch adds a function whose name is close to one of the base.
    case similarName(Suggestion)
    /// Without debug information the layouts of structures cannot be compared.
    case layoutsUnknown(object: String)
    /// The patch has another table in place of one of the base.
    case changedTable(String)
    /// A separate debug file does not belong to the base.
    case debugFileRejected(String)

    public var code: String {
        switch self {
        case .copiesUnknown: "copies-unknown"
        case .copiesRemain: "copies-remain"
        case .localFunction: "local-function"
        case .aliases: "aliases"
        case .similarName: "similar-name"
        case .layoutsUnknown: "layouts-unknown"
        case .changedTable: "changed-table"
        case .debugFileRejected: "debug-file-rejected"
        }
    }
}

extension BuildWarning: CustomStringConvertible {
    public var description: String {
        switch self {
        case .copiesUnknown(let function, let base):
            "whether copies of '\(function)' are inlined in other functions cannot be told: "
                + "'\(base)' has no debug information for it"
        case .copiesRemain(let function, let count):
            "\(count) \(count == 1 ? "copy" : "copies") of '\(function)' will keep the old code, "
                + "as --accept-copies allows"
        case .localFunction(let function):
            "'\(function)' is local to its file: its callers may rely on what the compiler saw "
                + "of the old code (the range of its results, what it reads and writes); keep to that"
        case .aliases(let function, let others):
            "'\(function)' is also called \(others.map { "'\($0)'" }.joined(separator: ", ")) in the "
                + "base: whoever calls it by that name gets the new code too"
        case .similarName(let suggestion):
            "the base has no function \(suggestion.text): the patch adds it and replaces nothing "
                + "with it"
        case .layoutsUnknown(let object):
            "whether the change alters structures of which the program has data cannot be told: "
                + "'\(object)' has no debug information before or after; compile both with -g"
        case .changedTable(let name):
            "the table '\(name)' is another one for what is replaced: where data of the program "
                + "has its address, that goes on with the old one"
        case .debugFileRejected(let reason):
            "a separate debug file was not used: \(reason)"
        }
    }
}
