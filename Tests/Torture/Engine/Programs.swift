import SystemPackage
import TestSupport

/// The victim, its library and the patches for both, as `Tests/Fixtures/torture`
/// has them.
public struct Programs: Sendable {
    public let victim: FilePath
    /// By name.
    public let patches: [String: FilePath]

    /// Each patch with the object that it is for.
    private static let bases = [
        "solo": "victim", "many": "victim", "upper": "victim", "front": "victim",
        "short": "victim", "side": "libside.so",
    ]

    public init() throws {
        let folder = try TemporaryDirectory.forWholeRun.get().makeDirectory()
        let sources = Fixture.sources.appending("torture")
        func source(_ name: String) -> FilePath { sources.appending(name + ".c") }
        try Fixture.compile(
            source: source("side"), to: folder.appending("libside.so"),
            flags: ["-O2", "-g", "-fPIC", "-shared"])
        victim = folder.appending("victim")
        try Fixture.compile(
            source: source("victim"), to: victim,
            flags: [
                source("functions").string, source("arithmetic").string, "-std=gnu17", "-O2", "-g",
                "-pthread", "-Wall", "-Wextra", "-Werror", "-L" + folder.string, "-lside",
                "-Wl,-rpath,$ORIGIN",
            ])
        let tool = try BuiltProduct.path("hotpatch").string
        var patches: [String: FilePath] = [:]
        for (name, base) in Self.bases {
            let patch = folder.appending(name + ".hpatch")
            let made = try Command.run(
                tool,
                [
                    "build", "--base", folder.appending(base).string, "-o", patch.string,
                    source(name + "-fix").string,
                ])
            guard made.succeeded else {
                throw Violation(.other, "cannot build '\(name)': \(made.errorOutput)")
            }
            patches[name] = patch
        }
        self.patches = patches
    }
}
