import SystemPackage
import TestSupport
import Testing

/// A program of `Fixtures/startup`, which tells what its first constructor and its
/// main were given, in a folder of its own with a store of its own.
struct StartProgram {
    let folder: TemporaryDirectory
    let program: FilePath
    let library: FilePath
    var state: FilePath { folder.path.appending("state") }
    var config: FilePath { folder.path.appending("config") }

    /// For `hotpatch`, of which others do not see what is installed here.
    var environment: [String: String] {
        ["HOTPATCH_STATE_DIR": state.string, "HOTPATCH_CONFIG_DIR": config.string]
    }

    /// - Parameter source: one with that interface, in `Fixtures/startup`.
    init(_ source: String = "program", flags: [String] = [], withLibrary: Bool = false) throws {
        folder = try TemporaryDirectory()
        (program, library) = try Fixture.compileStartup(
            source, in: folder.path, flags: flags, withLibrary: withLibrary)
    }

    /// A patch by which `answer` gives 2, or another value.
    func patch(_ value: Int = 2) throws -> FilePath {
        try build(
            "answer-\(value)", of: program,
            "int answer(const char *who) { return who ? \(value) : 0; }\n")
    }

    func libraryPatch() throws -> FilePath {
        try build("library", of: library, "int library_answer(void) { return 2; }\n")
    }

    /// A patch of the program that calls its library.
    func importingPatch() throws -> FilePath {
        try build(
            "importing", of: program,
            """
            int library_value(void);
            int answer(const char *who) { return who ? library_value() : 0; }

            """, ["--library-path", folder.path.string])
    }

    private func build(
        _ name: String, of base: FilePath, _ source: String, _ options: [String] = []
    ) throws -> FilePath {
        let file = try folder.write(source, to: "\(name).c")
        let patch = folder.path.appending("\(name).hpatch")
        try Tool.expect(
            0, ["build", "--base", base.string, "-o", patch.string, file.string] + options)
        return patch
    }

    func install(_ patches: FilePath...) throws {
        let arguments = ["install", "--no-apply"] + patches.map(\.string)
        let result = try Command.run(
            Tool.location.get().string, arguments, environment: environment)
        try Tool.check(result, 0, arguments)
    }

    /// `hotpatch run` with the rest of a command line, to its end.
    func run(_ arguments: [String], environment more: [String: String] = [:]) throws -> Command {
        try Command.run(
            Tool.location.get().string, ["run"] + arguments,
            environment: environment.merging(more) { $1 })
    }

    /// The same as a program to talk to.
    func start(_ arguments: [String]) throws -> Victim {
        try Victim(Tool.location.get(), ["run"] + arguments, environment: environment)
    }

    /// Expects the program to say `line`, to have become of the process that was
    /// started, and to end as it does.
    func expect(
        _ line: String, _ arguments: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let victim = try start(arguments)
        #expect(try victim.readLine() == line, sourceLocation: sourceLocation)
        let facts = ProcessFacts(victim)
        #expect(try facts.executable() == program.string, sourceLocation: sourceLocation)
        #expect(try facts.status("TracerPid") == "0", sourceLocation: sourceLocation)
        #expect(try facts.children().isEmpty, sourceLocation: sourceLocation)
        victim.closeInput()
        #expect(try victim.waitForExit() == .exited(42), sourceLocation: sourceLocation)
    }
}

extension ProcessFacts {
    /// What it runs.
    func executable() throws -> String {
        let result = try Command.run("readlink", ["/proc/\(pid)/exe"])
        return String(result.output.dropLast())
    }

    /// Those of its first thread.
    func children() throws -> [UInt8] {
        try FilePath("/proc/\(pid)/task/\(pid)/children").bytes()
    }
}
