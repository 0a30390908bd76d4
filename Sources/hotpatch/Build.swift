import ArgumentParser
import HotpatchKit
import JSONText
import SystemPackage

struct Build: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a patch from replacement functions in C.",
        usage: "hotpatch build --base ELF -o FIX.hpatch SOURCE ... [OPTIONS] [-- CFLAGS]",
        discussion: """
            Every function that the sources define and the base has too is replaced. The sources may \
            use all functions and variables of the base, static ones included (declare them \
            'extern'), and what the libraries export that the base is linked with; whatever else \
            they define comes along. With #include <hotpatch.h>, which needs no -I, \
            HOTPATCH_ORIGINAL(name) is the function 'name' that the fix replaces, to be called from it.

            The compiler is $CC, or else 'cc'. Flags for it follow a '--':

              hotpatch build --base ./daemon -o fix.hpatch fix.c -- -Iinclude -DNDEBUG
            """)

    @Option(
        help: ArgumentHelp(
            "The program or library that runs now, as it is on disk.", valueName: "ELF"),
        completion: .file())
    var base: String

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The patch to write.", valueName: "FIX.hpatch"),
        completion: .file(extensions: ["hpatch"]))
    var output: String

    @Argument(
        help: ArgumentHelp("C sources of the fix.", valueName: "SOURCE"),
        completion: .file(extensions: ["c"]))
    var sources: [String]

    @Option(
        name: .customLong(flagOption), parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A flag for the compiler; those behind '--' follow.", valueName: "FLAG"))
    var compilerFlags: [String] = []

    @Option(help: "The compiler to use in place of $CC or 'cc'.")
    var compiler: String?

    @Option(help: "What the patch is called; its file's name without the suffix unless given.")
    var name: String?

    @Option(help: "The patch's own version.")
    var versionString = ""

    @Option(help: "What the patch does, for people.")
    var description = ""

    @Option(help: "What the patch answers, such as CVE-2024-12345; may be given several times.")
    var reference: [String] = []

    @Option(
        help: ArgumentHelp(
            "Which of several symbols of one name is meant, by source file or by address.",
            valueName: "NAME=FILE.c|0xADDRESS"))
    var pick: [PickArgument] = []

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
            "Let the fix have a variable of its own, though the base has one of that name.",
            valueName: "NAME"))
    var newData: [String] = []

    @Option(
        help: ArgumentHelp(
            "A folder to look for the base's libraries in first.", valueName: "DIR"),
        completion: .directory)
    var libraryPath: [String] = []

    @OptionGroup var format: OutputOptions

    private static let flagOption = "compiler-flag"

    /// The command line with what follows '--' as options: the argument parser
    /// cannot tell it from the sources otherwise.
    static func flagsAsOptions(_ arguments: [String]) -> [String] {
        guard arguments.first == configuration.commandName ?? "build",
            let terminator = arguments.firstIndex(of: "--")
        else { return arguments }
        return arguments[..<terminator]
            + arguments[(terminator + 1)...].map { "--\(flagOption)=\($0)" }
    }

    func validate() throws {
        guard PatchManifest.isValidName(request.patchName) else {
            throw ValidationError(
                "'\(request.patchName)' is no name for a patch: it takes 1 to 64 of A-Z a-z 0-9 . _ "
                    + "+ -, starting with a letter or digit (--name).")
        }
        let names = pick.map(\.name)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw ValidationError("--pick is given twice for '\(twice)'.")
        }
    }

    private var request: BuildRequest {
        var request = BuildRequest(
            base: FilePath(base), sources: sources.map { FilePath($0) },
            output: FilePath(output))
        request.compiler = compiler
        request.compilerFlags = compilerFlags
        request.name = name
        request.version = versionString
        request.description = description
        request.references = reference
        request.picks = Dictionary(pick.map { ($0.name, $0.pick) }, uniquingKeysWith: { $1 })
        request.isCumulative = cumulative
        request.requires = requirements
        request.supersedes = supersedes
        request.acceptCopies = acceptCopies
        request.newData = Set(newData)
        request.libraryPaths = libraryPath.map { FilePath($0) }
        return request
    }

    func run() throws {
        var request = request
        request.fixedIn = try fixedIn.map { try identity($0) }
        let report = try PatchBuilder.build(request)
        for warning in report.warnings {
            StandardError.write("hotpatch: warning: \(warning) [\(warning.code)]\n")
        }
        if format.format == .json {
            return try StandardOutput.write(json: report.json, command: "build")
        }
        if format.format == .table {
            let base = report.patch.manifest.base
            try StandardOutput.write(
                "Made \(report.output) for \(base.fileName) (\(base.identity)).\n")
        }
        var table = PatchTable()
        table.addContents(of: report.patch)
        try StandardOutput.write(
            table.text(format: format.format, width: StandardOutput.width))
    }
}

extension Build {
    /// A file is looked at, anything else is a build id.
    private func identity(_ text: String) throws(ELFError) -> BaseIdentity {
        if !text.contains("/"), let identity = BaseIdentity(text) { return identity }
        return try BaseIdentity(of: ELFImage.open(path: FilePath(text)))
    }
}

extension PatchRequirement: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

/// `NAME=FILE.c` or `NAME=0xADDRESS`.
struct PickArgument: ExpressibleByArgument {
    let name: String
    let pick: Pick

    init?(argument: String) {
        guard let equals = argument.firstIndex(of: "=") else { return nil }
        let value = String(argument[argument.index(after: equals)...])
        name = String(argument[..<equals])
        guard !name.isEmpty, !value.isEmpty else { return nil }
        if value.hasPrefix("0x") {
            guard let address = Hexadecimal.number(value) else { return nil }
            pick = .address(LinkAddress(rawValue: address))
        } else {
            pick = .sourceFile(value)
        }
    }
}

extension BuildReport {
    fileprivate var json: [JSONMember] {
        let warnings = warnings.map { warning -> JSONValue in
            ["code": .string(warning.code), "message": .string(warning.description)]
        }
        return [JSONMember("output", .string(output.string))] + patch.json
            + [JSONMember("warnings", .array(warnings))]
    }
}
