import SystemPackage
import TestSupport
import Testing

/// Linkers rewrite code that goes by the offset table, or that asks for variables of its
/// thread. Such code of a running program is told from that of its objects, and what
/// replaces it reaches the same variables.
@Suite struct RelaxedCodeTests {
    struct Model: CustomTestStringConvertible {
        let compiler: String
        /// For the objects and the program.
        let flags: [String]
        /// For the program.
        let linked: [String]

        var testDescription: String {
            ([compiler] + flags + linked).joined(separator: " ")
        }

        init(_ compiler: String, _ flags: String, _ linked: String) {
            self.compiler = compiler
            self.flags = flags.split(separator: " ").map(String.init)
            self.linked = linked.split(separator: " ").map(String.init)
        }
    }

    static let programs = [
        Model("gcc", "-fPIC", "-pie"), Model("gcc", "-fPIC", "-pie -fuse-ld=gold"),
        Model("gcc", "-fPIC -fno-plt", "-pie"), Model("gcc", "-fPIC", "-no-pie"),
        Model("gcc", "-fPIC -fno-plt", "-no-pie"),
        Model("gcc", "-fPIC -mtls-dialect=gnu2", "-pie"),
        Model("gcc", "-fPIC -mtls-dialect=gnu2 -ftls-model=local-dynamic", "-pie"),
        Model("gcc", "-fPIC -ftls-model=initial-exec", "-pie"),
        Model("gcc", "-fPIE -mno-direct-extern-access", "-pie"),
        Model("clang", "-fPIC", "-pie"), Model("clang", "-fPIC", "-pie -fuse-ld=lld"),
        Model("clang", "-fPIC -fno-plt", "-no-pie -fuse-ld=lld"),
    ]

    @Test(arguments: programs) func aProgram(_ model: Model) throws {
        let shelves = try Shelves(model)
        let patch = try shelves.patch(for: shelves.program(of: Shelves.sources))
        try Self.play(shelves.folder.path.appending("program"), patch)
    }

    static let libraries = [
        Model("gcc", "-fPIC", "-shared"), Model("gcc", "-fPIC -fno-plt", "-shared"),
        Model("gcc", "-fPIC -ftls-model=initial-exec", "-shared"),
        Model("gcc", "-fPIC", "-shared -fuse-ld=gold"),
        Model("clang", "-fPIC", "-shared -fuse-ld=lld"),
    ]

    @Test(arguments: libraries) func aLibrary(_ model: Model) throws {
        let shelves = try Shelves(model)
        let (program, library) = try shelves.library()
        try Self.play(program, try shelves.patch(for: library))
    }

    /// The descriptors of a library are the loader's to make.
    @Test func descriptorsOfALibraryAreRefused() throws {
        let shelves = try Shelves(Model("gcc", "-fPIC -mtls-dialect=gnu2", "-shared"))
        let (_, library) = try shelves.library()
        let output = shelves.folder.path.appending("fix.hpatch")
        try Tool.expect(
            2, try shelves.arguments(base: library, output: output),
            says: ["diff.thread-descriptor", "-mtls-dialect=gnu2"])
    }

    /// The linker gives everything of the change an answer of its own.
    private static func play(_ program: FilePath, _ patch: FilePath) throws {
        let victim = try startVictim(program)
        #expect(try victim.ask("1") == "main: 6 4 0 33, 8 1 0 1, 3 4 2")
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("2") == "main: 2006 2004 2 6033, 2008 0 5 0, 1004 2004 1002")
        #expect(try victim.ask("t1") == "beside: 1005 1003 1 3030, 3008 0 5 0, 1002 2002 1001")
        try Tool.expect(0, ["revert", "shelves", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("1") == "main: 2007 2005 2 6036, 3009 1 0 1, 3 4 2")
    }
}

/// `Tests/Fixtures/changes/shelves.c`, compiled in one of many ways.
struct Shelves {
    let folder: TemporaryDirectory
    private let model: RelaxedCodeTests.Model

    static let sources = ["shelves", "shelves-data", "shelves-main"]

    init(_ model: RelaxedCodeTests.Model) throws {
        folder = try TemporaryDirectory()
        self.model = model
    }

    private func source(_ name: String) -> String {
        Fixture.sources.appending("changes").appending(name + ".c").string
    }

    private func compile(_ arguments: [String]) throws {
        let command = try Command.run(model.compiler, ["-O2", "-g"] + model.flags + arguments)
        try #require(command.succeeded, "\(command.errorOutput)")
    }

    func program(of sources: [String]) throws -> FilePath {
        let program = folder.path.appending("program")
        try compile(model.linked + sources.map(source) + ["-pthread", "-o", program.string])
        return program
    }

    func library() throws -> (program: FilePath, library: FilePath) {
        let library = folder.path.appending("libshelves.so")
        try compile(model.linked + Self.sources.dropLast().map(source) + ["-o", library.string])
        let program = folder.path.appending("program")
        let command = try Command.run(
            "cc",
            [source("shelves-main"), library.string, "-Wl,-rpath,\(folder.path)", "-pthread"]
                + ["-o", program.string])
        try #require(command.succeeded, "\(command.errorOutput)")
        return (program, library)
    }

    func arguments(base: FilePath, output: FilePath) throws -> [String] {
        let objects = try [0, 1].map { change in
            let object = try folder.makeDirectory().appending("shelves.o")
            try compile(
                ["-ffunction-sections", "-fdata-sections", "-DCHANGE=\(change)", "-c"]
                    + [source("shelves"), "-o", object.string])
            return object.string
        }
        return ["diff", "--base", base.string, "--before", objects[0], "--after", objects[1]]
            + ["-o", output.string]
    }

    func patch(for base: FilePath) throws -> FilePath {
        let output = folder.path.appending("shelves.hpatch")
        try Tool.expect(0, try arguments(base: base, output: output), says: ["Made"])
        return output
    }
}
