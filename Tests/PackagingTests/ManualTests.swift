import SystemPackage
import TestSupport
import Testing

/// The manual pages are made from the tool itself, and are sound.
@Suite struct ManualTests {
    private static let sources = FilePath(#filePath)
        .removingLastComponent().removingLastComponent().removingLastComponent()
    private static let parts = sources.appending("packaging/man")

    /// Makes the pages from `parts` into a new folder.
    private func make(
        from parts: FilePath = ManualTests.parts, in folder: FilePath, date: String = "2026-11-23"
    ) throws -> Command {
        let tool = try BuiltProduct.path("hotpatch")
        let manual = try BuiltProduct.path("manual")
        return try Command.run(
            "sh",
            [
                "-c",
                #"mkdir -p "$4" && "$1" --experimental-dump-help | "$2" --parts "$3" "#
                    + #"--output "$4" --date "$5""#,
                "sh", tool.string, manual.string, parts.string, folder.string, date,
            ])
    }

    /// What the tool calls its commands.
    private func commands() throws -> [String] {
        let help = try Command.run(try BuiltProduct.path("hotpatch").string, ["--help"]).output
        let lines = help.split(separator: "\n").drop { $0 != "SUBCOMMANDS:" }.dropFirst()
        return lines.filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.hasPrefix("  See") }
            .compactMap { $0.split(separator: " ").first.map(String.init) }
    }

    @Test func everyCommandHasItsPage() throws {
        let folder = try TemporaryDirectory()
        let result = try make(in: folder.path)
        try #require(result.succeeded, "\(result.errorOutput)")
        let commands = try commands()
        try #require(commands.contains("apply"))
        let overview = String(
            decoding: try folder.path.appending("hotpatch.1").bytes(), as: UTF8.self)
        for command in commands {
            let page = String(
                decoding: try folder.path.appending("hotpatch-\(command).1").bytes(), as: UTF8.self)
            for section in [
                "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES",
            ] {
                #expect(page.contains(".Sh \(section)\n"), "\(command)")
            }
            #expect(overview.contains(".It Xr hotpatch-\(command) 1"))
        }
    }

    /// An option that is new in the tool is in its page.
    @Test func optionsAreTheTools() throws {
        let folder = try TemporaryDirectory()
        try #require(try make(in: folder.path).succeeded)
        let page = try Command.run("mandoc", ["-T", "ascii", "\(folder.path)/hotpatch-apply.1"])
        let help = try Command.run(try BuiltProduct.path("hotpatch").string, ["apply", "--help"])
        let text = page.output.replacingBackspaces
        for word in help.output.split(separator: "\n").compactMap({ line in
            line.hasPrefix("  --") ? line.split(separator: " ").first : nil
        }) {
            #expect(text.contains(word), "\(word)")
        }
        #expect(text.contains("November 23, 2026"))
    }

    @Test func pagesAreSound() throws {
        let folder = try TemporaryDirectory()
        try #require(try make(in: folder.path).succeeded)
        let pages = try Command.run("sh", ["-c", "ls \(folder.path)/*.1 \(Self.parts)/*.[58]"])
        let paths = pages.output.split(separator: "\n").map(String.init)
        try #require(paths.count > 10)
        let check = try Command.run("mandoc", ["-T", "lint", "-W", "warning"] + paths)
        #expect(check.succeeded, "\(check.output)")
    }

    @Test func aCommandWithoutExamples() throws {
        let folder = try TemporaryDirectory()
        let parts = folder.path.appending("parts")
        try #require(try Command.run("cp", ["-r", Self.parts.string, parts.string]).succeeded)
        try parts.appending("apply.mdoc").remove()
        let missing = try make(from: parts, in: folder.path)
        #expect(!missing.succeeded)
        #expect(missing.errorOutput.contains("the command 'apply' has no part"))
    }

    @Test(arguments: ["", "2026-13-01", "2026-00-01", "2026-01-99", "today"])
    func datesThatAreNone(_ date: String) throws {
        let folder = try TemporaryDirectory()
        #expect(try !make(in: folder.path, date: date).succeeded)
    }
}

extension String {
    /// Without what overstrikes: terminals of old wrote bold text so.
    fileprivate var replacingBackspaces: String {
        var result: [Character] = []
        for character in self {
            if character == "\u{8}" { _ = result.popLast() } else { result.append(character) }
        }
        return String(result)
    }
}
