import Authoring
import ELFImage
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// A base and a fix in a folder of their own, compiled for one test.
struct BuildCase {
    let folder: TemporaryDirectory
    let base: FilePath
    let output: FilePath

    /// Compiles and links a program, or what the flags say.
    init(
        base source: String, flags: [String] = ["-O2", "-g"], compiler: String = "gcc",
        name: String = "daemon"
    ) throws {
        folder = try TemporaryDirectory()
        output = folder.path.appending("fix.hpatch")
        base = folder.path.appending(name)
        let file = try folder.write(source, to: "daemon.c")
        try Self.link([file], to: base, flags, compiler)
    }

    /// The same with several sources, so that names may meet.
    init(
        sources: [(name: String, text: String)], flags: [String] = ["-O2", "-g"],
        compiler: String = "gcc"
    ) throws {
        folder = try TemporaryDirectory()
        output = folder.path.appending("fix.hpatch")
        base = folder.path.appending("daemon")
        let files = try sources.map { [folder] in try folder.write($0.text, to: $0.name) }
        try Self.link(files, to: base, flags, compiler)
    }

    private static func link(
        _ sources: [FilePath], to output: FilePath, _ flags: [String], _ compiler: String
    ) throws {
        let command = try Command.run(
            compiler, sources.map(\.string) + ["-o", output.string] + flags)
        try #require(command.succeeded, "\(command.errorOutput)")
    }

    /// Builds a patch of `fix`; `change` fits the request.
    func build(
        _ fix: String, compiler: String = "gcc", _ change: (inout BuildRequest) -> Void = { _ in }
    ) throws -> BuildReport {
        try build([("fix.c", fix)], compiler: compiler, change)
    }

    func build(
        _ fixes: [(name: String, text: String)], compiler: String = "gcc",
        _ change: (inout BuildRequest) -> Void = { _ in }
    ) throws -> BuildReport {
        let sources = try fixes.map { try folder.write($0.text, to: $0.name) }
        var request = BuildRequest(base: base, sources: sources, output: output)
        request.compiler = compiler
        change(&request)
        return try PatchBuilder.build(request)
    }

    /// The error that building ends with.
    func failure(
        _ fix: String, compiler: String = "gcc", _ change: (inout BuildRequest) -> Void = { _ in },
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> AuthoringError {
        let error = try #require(
            throws: AuthoringError.self, sourceLocation: sourceLocation
        ) { _ = try build(fix, compiler: compiler, change) }
        let left = try Command.run("ls", ["-A", folder.path.string])
        #expect(!left.output.contains("hpatch"), sourceLocation: sourceLocation)
        return error
    }
}

extension BuildReport {
    var manifest: PatchManifest { patch.manifest }

    func function(_ name: String) throws -> ReplacedFunction {
        try #require(manifest.functions.first { $0.symbol == name })
    }

    func baseSymbol(_ name: String) -> BaseSymbol? {
        manifest.baseSymbols.first { $0.name == name }
    }

    func imported(_ name: String) -> ImportedSymbol? {
        manifest.imports.first { $0.name == name }
    }
}

extension BaseSymbol {
    var isThreadLocal: Bool { if case .threadLocal = location { true } else { false } }
    var isObject: Bool { if case .object = location { true } else { false } }
    var isFunction: Bool { if case .function = location { true } else { false } }
}
