import JSONText
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// The command line under test: the `hotpatch` that was built beside these tests.
enum Tool {
    /// Where it is, or why that is not known.
    static let location = Result { try BuiltProduct.path("hotpatch") }

    /// Runs it to its end.
    static func run(_ arguments: [String]) throws -> Command {
        try Command.run(location.get().string, arguments)
    }

    /// Starts it beside the test.
    static func start(_ arguments: [String]) throws -> RunningCommand {
        try RunningCommand(location.get().string, arguments)
    }

    /// Runs it, expects the exit code and texts in what it prints, and returns
    /// that: standard output where it succeeds, else standard error.
    @discardableResult
    static func expect(
        _ code: Int32, _ arguments: [String], says texts: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        try check(run(arguments), code, arguments, says: texts, sourceLocation: sourceLocation)
    }

    /// The same for a run that has ended.
    @discardableResult
    static func check(
        _ result: Command, _ code: Int32, _ arguments: [String], says texts: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let said = "\(result.exit)\n\(result.output)\(result.errorOutput)"
        let command = Comment(rawValue: "hotpatch \(arguments.joined(separator: " ")): \(said)")
        try #require(result.code == code, command, sourceLocation: sourceLocation)
        let output = code == 0 ? result.output : result.errorOutput
        for text in texts {
            #expect(output.contains(text), command, sourceLocation: sourceLocation)
        }
        return output
    }

    /// Runs it with `--format json` and returns the document.
    static func json(
        _ arguments: [String], code: Int32 = 0,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> JSONCursor {
        let result = try run(arguments + ["--format", "json"])
        try check(result, code, arguments, sourceLocation: sourceLocation)
        return JSONCursor(try JSONValue(parsing: result.outputBytes, limit: 1 << 24))
    }

    /// Runs it with `--format tsv` and returns each row by its headings.
    static func tsv(_ arguments: [String]) throws -> [[String: String]] {
        let output = try expect(0, arguments + ["--format", "tsv"])
        let rows = output.split(separator: "\n").map {
            $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        }
        guard let heading = rows.first else { return [] }
        return rows.dropFirst().map { row in
            Dictionary(zip(heading, row), uniquingKeysWith: { first, _ in first })
        }
    }
}

/// Patches made from `Tests/Fixtures/endtoend` by `hotpatch build`.
enum Patch {
    private static let built = Mutex<[String: FilePath]>([:])
    private static let directory = Result { try TemporaryDirectory() }

    /// Builds the fix for `base`, once a run, and returns the patch's path. The
    /// patch has the fix's name unless another is given.
    static func build(
        _ fix: String, for base: FilePath, name: String? = nil, options: [String] = []
    ) throws -> FilePath {
        let key = "\(fix) \(base) \(name ?? "") \(options)"
        if let known = built.withLock({ $0[key] }) { return known }
        let source = Fixture.sources.appending("endtoend/\(fix).c")
        let stem = name ?? FilePath(fix).lastComponent?.string ?? fix
        let path = try directory.get().makeDirectory().appending(stem + ".hpatch")
        try Tool.expect(
            0, ["build", "--base", base.string, "-o", path.string, source.string] + options)
        built.withLock { $0[key] = path }
        return path
    }
}
