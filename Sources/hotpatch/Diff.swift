import ArgumentParser
import HotpatchKit
import JSONText
import SystemPackage

struct Diff: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a patch from objects compiled before and after a change.",
        usage: "hotpatch diff --base ELF --before OBJ ... --after OBJ ... -o FIX.hpatch [OPTIONS]",
        discussion: """
            The objects are compared function by function, by what they hold and refer to. What \
            changed is replaced, the functions included that others were inlined into; what is new \
            comes along. What cannot be switched safely is refused: other initial values of data, \
            constructors, new thread-local variables.

            Compile the objects before as those that the base was linked of, with the same compiler \
            and flags, and -ffunction-sections -fdata-sections besides; those after likewise, from \
            the changed source. Every function that is replaced, and what it refers to, is held \
            against the bytes of the base first. Objects belong together by the names of their \
            files:

              hotpatch diff --base ./daemon --before old/parse.o --after new/parse.o -o fix.hpatch
            """)

    @Option(
        help: ArgumentHelp(
            "The program or library that runs now, as it is on disk.", valueName: "ELF"),
        completion: .file())
    var base: String

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Objects as they were compiled before the change.", valueName: "OBJ"),
        completion: .file(extensions: ["o"]))
    var before: [String]

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "The same objects, compiled after the change.", valueName: "OBJ"),
        completion: .file(extensions: ["o"]))
    var after: [String]

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Objects that are added: callbacks for when the patch is applied (hotpatch.h).",
            valueName: "OBJ"),
        completion: .file(extensions: ["o"]))
    var with: [String] = []

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("The patch to write.", valueName: "FIX.hpatch"),
        completion: .file(extensions: ["hpatch"]))
    var output: String

    @OptionGroup var change: ChangeOptions
    @OptionGroup var label: LabelOptions
    @OptionGroup var format: OutputOptions

    func validate() throws { try label.checkName(for: output) }

    func run() throws {
        var request = DiffRequest(
            base: FilePath(base), before: before.map { FilePath($0) },
            after: after.map { FilePath($0) }, output: FilePath(output))
        request.label = try label.label(for: request.output)
        request.acceptCopies = label.acceptCopies
        request.acceptedLayouts = Set(change.acceptLayout)
        request.acceptedData = Set(change.acceptData)
        request.with = with.map { FilePath($0) }
        request.acceptExceptions = change.acceptExceptions
        request.libraryPaths = label.libraryPath.map { FilePath($0) }
        try DiffBuilder.build(request).show(format.format, command: "diff")
    }
}

extension DiffReport {
    /// Tells what was made of how much.
    func show(_ format: OutputFormat, command: String) throws {
        try build.show(
            format, command: command, summary: summary,
            also: [
                JSONMember("comparedFunctions", .integer(Int64(comparedFunctions))),
                JSONMember("movedLines", .integer(Int64(movedLines))),
                JSONMember(
                    "inlined",
                    .array(
                        inlined.map {
                            [
                                "function": .string($0.function),
                                "into": .array($0.into.map { .string($0) }),
                            ]
                        })),
                JSONMember("comparedMilliseconds", .integer(duration.microseconds / 1000)),
            ])
    }

    /// For people: how much changed, and what comes along for what.
    private var summary: String {
        let replaced = build.patch.manifest.functions.count
        let copies = inlined.map { change in
            "\n\(change.function) changes and is inlined into \(change.into.joined(separator: ", "))."
        }
        return "Of \(comparedFunctions) functions \(replaced) "
            + (replaced == 1 ? "changes" : "change")
            + (movedLines > 0 ? ", and \(movedLines) more by their line numbers only." : ".")
            + copies.joined()
    }
}
