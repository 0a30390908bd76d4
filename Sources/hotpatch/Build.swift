import ArgumentParser
import Glibc
import HotpatchKit
import JSONText
import SystemPackage

struct Build: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a patch from replacement functions in C, or from a source change.",
        usage: """
            hotpatch build --base ELF -o FIX.hpatch SOURCE ... [OPTIONS] [-- CFLAGS]
            hotpatch build --base ELF -o FIX.hpatch --source DIR --patch FIX.diff [OPTIONS]
            """,
        discussion: """
            Every function that the sources define and the base has too is replaced. The sources may \
            use all functions and variables of the base, static ones included (declare them \
            'extern'), and what the libraries export that the base is linked with; whatever else \
            they define comes along. With #include <hotpatch.h>, which needs no -I, \
            HOTPATCH_ORIGINAL(name) is the function 'name' that the fix replaces, to be called from it.

            The compiler is $CC, or else 'cc'. Flags for it follow a '--':

              hotpatch build --base ./daemon -o fix.hpatch fix.c -- -Iinclude -DNDEBUG

            With --source and --patch the whole is done from a change as 'diff -u' or git writes it: a \
            copy of the sources is configured and built as the base was, built again with the change, \
            and the objects that the change reaches are compared as by 'hotpatch diff'. Compilers are \
            noticed by their names, such as gcc-12 or clang++, whatever runs them and by whatever \
            path. With --work the build before the change is done once for all changes:

              hotpatch build --base ./daemon -o fix.hpatch --source daemon-1.2 --patch fix.diff \
            --configure './configure' --make 'make daemon'
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
    var sources: [String] = []

    @Option(
        help: ArgumentHelp(
            "The sources that the base was built of; they are copied.", valueName: "DIR"),
        completion: .directory)
    var source: String?

    @Option(
        help: ArgumentHelp("A change of those sources.", valueName: "FIX.diff"),
        completion: .file())
    var patch: String?

    @Option(
        help: ArgumentHelp(
            "A source beside the change: callbacks for when the patch is applied (hotpatch.h).",
            valueName: "FIX.c"),
        completion: .file(extensions: ["c"]))
    var with: [String] = []

    @Option(
        help: ArgumentHelp(
            "How many folders of the names in the change to leave out, as by 'patch -p'.",
            valueName: "N"))
    var strip = 1

    @Option(
        help: ArgumentHelp(
            "Prepares the copy of the sources, once: a command for the shell.",
            valueName: "COMMAND"))
    var configure = ""

    @Option(
        help: ArgumentHelp(
            "Builds, before the change and after: a command for the shell.",
            valueName: "COMMAND"))
    var make = "make"

    @Option(
        help: ArgumentHelp(
            """
            Keep there what is built from --source; the next build with the same sources and \
            commands begins with it.
            """, valueName: "DIR"),
        completion: .directory)
    var work: String?

    @Option(
        name: .customLong(flagOption), parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A flag for the compiler; those behind '--' follow.", valueName: "FLAG"))
    var compilerFlags: [String] = []

    @Option(help: "The compiler to use in place of $CC or 'cc'.")
    var compiler: String?

    @Option(
        help: ArgumentHelp(
            "Which of several symbols of one name is meant, by source file or by address.",
            valueName: "NAME=FILE.c|0xADDRESS"))
    var pick: [PickArgument] = []

    @Option(
        help: ArgumentHelp(
            "Let the fix have a variable of its own, though the base has one of that name.",
            valueName: "NAME"))
    var newData: [String] = []

    @OptionGroup var change: ChangeOptions
    @OptionGroup var label: LabelOptions

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
        try label.checkName(for: output)
        guard sources.isEmpty != (source == nil) else {
            throw ValidationError("Name either replacement functions in C, or --source.")
        }
        guard source != nil || with.isEmpty else {
            throw ValidationError("--with goes with --source; name it among the sources.")
        }
        guard (source == nil) == (patch == nil) else {
            throw ValidationError("--source and --patch go together.")
        }
        guard source == nil || pick.isEmpty && newData.isEmpty && compilerFlags.isEmpty else {
            throw ValidationError(
                "--pick, --new-data and flags for the compiler are for replacement functions in C.")
        }
        guard work == nil || source != nil else {
            throw ValidationError("--work is for --source.")
        }
        guard (0...100).contains(strip) else {
            throw ValidationError("--strip takes a number from 0 to 100.")
        }
        let names = pick.map(\.name)
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw ValidationError("--pick is given twice for '\(twice)'.")
        }
    }

    func run() throws {
        if let source, let patch {
            return try buildChange(of: FilePath(source), by: FilePath(patch))
        }
        var request = BuildRequest(
            base: FilePath(base), sources: sources.map { FilePath($0) },
            output: FilePath(output))
        request.compiler = compiler
        request.compilerFlags = compilerFlags
        request.label = try label.label(for: request.output)
        request.picks = Dictionary(pick.map { ($0.name, $0.pick) }, uniquingKeysWith: { $1 })
        request.acceptCopies = label.acceptCopies
        request.acceptExceptions = change.acceptExceptions
        request.newData = Set(newData)
        request.libraryPaths = label.libraryPath.map { FilePath($0) }
        try PatchBuilder.build(request).show(format.format, command: "build")
    }
}

extension Build {
    private func buildChange(of source: FilePath, by patch: FilePath) throws {
        var request = SourceRequest(
            base: FilePath(base), source: source, patch: patch, output: FilePath(output))
        request.strip = strip
        request.configure = configure
        request.make = make
        request.label = try label.label(for: request.output)
        request.acceptCopies = label.acceptCopies
        request.acceptedLayouts = Set(change.acceptLayout)
        request.acceptedData = Set(change.acceptData)
        request.with = with.map { FilePath($0) }
        request.acceptExceptions = change.acceptExceptions
        request.libraryPaths = label.libraryPath.map { FilePath($0) }
        request.work = work.map { FilePath($0) }
        let report = try SourceBuild.build(request, progress: ProgressLine.show)
        try report.show(format.format, command: "build")
    }
}

/// What a long build tells a terminal; a pipe is told nothing.
private enum ProgressLine {
    /// A step has a line, which its numbers are written over.
    static func show(_ progress: SourceBuildProgress) {
        guard isatty(STDERR_FILENO) == 1 else { return }
        let seconds = progress.duration.components.seconds
        guard progress.duration > .zero else {
            return StandardError.write("hotpatch: \(progress.step) …\n")
        }
        let objects =
            progress.objects == 0
            ? "" : "\(progress.objects) \(progress.objects == 1 ? "object" : "objects"), "
        // Up a line, and clear it (ECMA-48: CUU, EL).
        StandardError.write(
            "\u{1b}[A\r\u{1b}[Khotpatch: \(progress.step) … \(objects)\(seconds) s\n")
    }
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
    /// Tells what was made, and on standard error what there is to say about it.
    func show(
        _ format: OutputFormat, command: String, summary: String? = nil,
        also members: [JSONMember] = []
    ) throws {
        for warning in warnings {
            StandardError.write("hotpatch: warning: \(warning) [\(warning.code)]\n")
        }
        if format == .json {
            return try StandardOutput.write(json: json + members, command: command)
        }
        if format == .table {
            let base = patch.manifest.base
            try StandardOutput.write(
                "Made \(output) for \(base.fileName) (\(base.identity)).\n"
                    + (summary.map { $0 + "\n" } ?? ""))
        }
        var table = PatchTable()
        table.addContents(of: patch)
        try StandardOutput.write(table.text(format: format, width: StandardOutput.width))
    }

    private var json: [JSONMember] {
        let warnings = warnings.map { warning -> JSONValue in
            ["code": .string(warning.code), "message": .string(warning.description)]
        }
        return [JSONMember("output", .string(output.string))] + patch.json
            + [JSONMember("warnings", .array(warnings))]
    }
}
