import ArgumentParser
import HotpatchKit
import SystemPackage

/// What a new patch says of itself.
struct LabelOptions: ParsableArguments {
    @Option(help: "What the patch is called; its file's name without the suffix unless given.")
    var name: String?

    @Option(help: "The patch's own version.")
    var versionString = ""

    @Option(help: "What the patch does, for people.")
    var description = ""

    @Option(help: "What the patch answers, such as CVE-2024-12345; may be given several times.")
    var reference: [String] = []

    @Flag(
        help: """
            The patch takes the place of every other patch of its base: applying it takes them out \
            in the same switch.
            """)
    var cumulative = false

    @Option(
        name: .customLong("requires"),
        help: ArgumentHelp(
            "A patch of the same base that must be installed before, or exactly one of its builds.",
            valueName: "NAME[@DIGEST]"))
    var requirements: [PatchRequirement] = []

    @Option(
        help: ArgumentHelp(
            "A patch of the same base whose place it takes, in the same switch.",
            valueName: "NAME"))
    var supersedes: [String] = []

    @Option(
        help: ArgumentHelp(
            "A later build of the base that contains the fix, or its build id.",
            valueName: "ELF|BUILD-ID"),
        completion: .file())
    var fixedIn: [String] = []

    @Flag(help: "Accept that clones and inlined copies of a replaced function keep the old code.")
    var acceptCopies = false

    @Option(
        help: ArgumentHelp(
            "A folder to look for the base's libraries in first.", valueName: "DIR"),
        completion: .directory)
    var libraryPath: [String] = []

    /// What a patch at `output` says of itself.
    func label(for output: FilePath) throws(ELFError) -> PatchLabel {
        var label = PatchLabel(for: output)
        if let name { label.name = name }
        label.version = versionString
        label.description = description
        label.references = reference
        label.isCumulative = cumulative
        label.requires = requirements
        label.supersedes = supersedes
        for text in fixedIn { label.fixedIn.append(try Self.identity(text)) }
        return label
    }

    /// A file is looked at, anything else is a build id.
    private static func identity(_ text: String) throws(ELFError) -> BaseIdentity {
        if !text.contains("/"), let identity = BaseIdentity(text) { return identity }
        return try BaseIdentity(of: ELFImage.open(path: FilePath(text)))
    }

    /// Refuses what is no name for a patch at `output`.
    func checkName(for output: String) throws {
        let name = name ?? PatchLabel(for: FilePath(output)).name
        guard PatchManifest.isValidName(name) else {
            throw ValidationError(
                "'\(name)' is no name for a patch: it takes 1 to 64 of A-Z a-z 0-9 . _ "
                    + "+ -, starting with a letter or digit (--name).")
        }
    }
}

/// What the author of a change vouches for.
struct ChangeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Accept another layout of a structure: no data of it outlives what is replaced, or a \
            callback migrates it.
            """,
            valueName: "TYPE"))
    var acceptLayout: [String] = []

    @Option(
        help: ArgumentHelp(
            "Accept another initial value of a variable: a callback sets it.", valueName: "NAME"))
    var acceptData: [String] = []

    @Flag(
        help: """
            Accept that exceptions cannot pass through what is replaced: the program's unwinder is \
            not told of it.
            """)
    var acceptExceptions = false
}

extension PatchRequirement: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}
