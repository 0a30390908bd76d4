import Authoring
import ObjectDiff
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// What `diff` makes of changes that reach several sources, or what sources agree on.
@Suite struct DiffProgramTests {
    /// A program of several sources, and its objects before and after a change.
    private struct Program {
        let folder: TemporaryDirectory
        private(set) var request: DiffRequest

        /// - Parameters:
        ///   - sources: what the files hold, by their names without '.c'.
        ///   - after: those that the change touches, as it leaves them.
        ///   - hidden: files whose objects are not compared.
        init(
            _ sources: [String: String], after: [String: String], hidden: Set<String> = [],
            isLibrary: Bool = false
        ) throws {
            folder = try TemporaryDirectory()
            let flags = ["-O2", "-g", isLibrary ? "-fPIC" : "-fPIE"]
            let base = folder.path.appending("program")
            request = DiffRequest(
                base: base, before: [], after: [], output: folder.path.appending("fix.hpatch"))
            var texts: [FilePath] = []
            for (name, text) in sources.sorted(by: { $0.key < $1.key }) {
                texts.append(try folder.write(text, to: "\(name).c"))
            }
            try Self.run(
                ["gcc", isLibrary ? "-shared" : "-pie", "-o", base.string] + flags
                    + texts.map(\.string))
            func objects(_ side: String) throws -> [FilePath] {
                let place = try folder.makeDirectory()
                return try after.keys.filter { !hidden.contains($0) }.sorted().map { name in
                    let object = place.appending("\(name).o")
                    let source = folder.path.appending("\(name).c").string
                    try Self.run(
                        ["gcc", "-c", source, "-o", object.string, "-ffunction-sections"]
                            + ["-fdata-sections"] + flags)
                    return object
                }
            }
            request.before = try objects("before")
            for (name, text) in after { _ = try folder.write(text, to: "\(name).c") }
            request.after = try objects("after")
        }

        private static func run(_ arguments: [String]) throws {
            let command = try Command.run(arguments[0], Array(arguments.dropFirst()))
            try #require(command.succeeded, "\(command.errorOutput)")
        }

        func build() throws -> DiffReport { try DiffBuilder.build(request) }

        func replaced() throws -> [String] {
            try build().build.manifest.functions.map(\.symbol).sorted()
        }

        func failure(sourceLocation: SourceLocation = #_sourceLocation) throws -> AuthoringError {
            try #require(throws: AuthoringError.self, sourceLocation: sourceLocation) {
                _ = try build()
            }
        }
    }

    // MARK: - From one source to another

    private static let main = """
        int one(int), two(int), shared(int);
        int main(int c, char **v) { (void)v; return one(c) + two(c) + shared(c); }
        """
    private static let shared = "int count = 5; int shared(int x) { return count += x * 3; }\n"
    private static let one =
        "extern int count; int shared(int); int one(int x) { return shared(x) + 1; }\n"
    private static let two =
        "extern int count; int shared(int); int two(int x) { return shared(x) - count; }\n"

    /// Callers in sources that do not change mean it too, and there is one variable.
    @Test func whatMovesToAnotherSourceStaysWhatItIs() throws {
        let program = try Program(
            ["main": Self.main, "one": Self.one + Self.shared, "two": Self.two],
            after: [
                "one": Self.one,
                "two": Self.two + Self.shared.replacing("x * 3", with: "x * 4"),
            ])
        let report = try program.build()
        #expect(report.build.manifest.functions.map(\.symbol).contains("shared"))
        #expect(report.build.baseSymbol("count")?.isFunction == false)
    }

    @Test func dataThatMovesStartsAsItDid() throws {
        let program = try Program(
            ["main": Self.main, "one": Self.one + Self.shared, "two": Self.two],
            after: ["one": Self.one, "two": Self.two + Self.shared.replacing("5", with: "6")])
        let error = try program.failure()
        #expect(error.code == "diff.changed-data")
        #expect(error.description.contains("'count'"), "\(error)")
    }

    @Test func whatAnObjectThatIsNotComparedHasIsNotAdded() throws {
        let program = try Program(
            ["main": Self.main, "one": Self.one + Self.shared, "two": Self.two],
            after: [
                "one": Self.one,
                "two": Self.two.replacing("- count", with: "* count") + Self.shared,
            ],
            hidden: ["one"])
        let error = try program.failure()
        #expect(error.code == "diff.defined-elsewhere")
        #expect(error.isRefusal)
        #expect(error.description.contains("name that object"), "\(error)")
    }

    /// A name is all that tells whether what a variable has become since goes on.
    @Test func aVariableUnderAnotherNameIsRefused() throws {
        let inOne = try Program(
            ["main": Self.main, "one": Self.one + Self.shared, "two": Self.two],
            after: [
                "one": (Self.one + Self.shared).replacing("count", with: "total"),
                "two": Self.two.replacing("count", with: "total"),
            ])
        #expect(try inOne.failure().code == "diff.unclear-variable")
        let hidden = "static " + Self.shared
        let main = Self.main
        let moving = try Program(
            [
                "main": main, "one": Self.one.replacing("extern int count;", with: "") + hidden,
                "two": "int two(int x) { return x; }\n",
            ],
            after: [
                "one": Self.one + "int shared(int x) { return count += x * 4; }\n",
                "two": "int count = 5; int two(int x) { return x; }\n",
            ])
        let error = try moving.failure()
        #expect(error.code == "diff.unclear-variable")
        #expect(error.description.contains("'count'"), "\(error)")
    }

    /// Objects that live on have the old table.
    @Test func anotherTableIsToldOf() throws {
        let source = """
            static int one(int x) { return x + 1; }
            static int two(int x) { return x + 2; }
            static int (*const rules[])(int) = {one, two};
            int work(int x) { return rules[x & 1](x); }
            int main(int c, char **v) { (void)v; return work(c); }
            """
        let program = try Program(
            ["main": source], after: ["main": source.replacing("{one, two}", with: "{two, one}")])
        #expect(try program.build().build.warnings.contains(.changedTable("rules")))
    }

    // MARK: - Names

    private static let called = """
        int one(int x) { return x * 3; }
        int two(int x) { return x / 7; }
        """
    private static let calling =
        "int one(int), two(int); int main(int c, char **v) { (void)v; return one(c) + two(c); }\n"

    @Test func aFunctionBecomesAnotherName() throws {
        let alias =
            "int one(int x) { return x * 3; }\nint two(int) __attribute__((alias(\"one\")));\n"
        let joined = try Program(
            ["main": Self.calling, "part": Self.called], after: ["part": alias])
        #expect(try joined.replaced() == ["two"])
        let parted = try Program(
            ["main": Self.calling, "part": alias], after: ["part": Self.called])
        let error = try parted.failure()
        #expect(error.code == "diff.split-function")
        #expect(error.isRefusal)
        for name in ["'one'", "'two'"] { #expect(error.description.contains(name), "\(error)") }
    }

    /// What the linker joins to a table is found by the table's ends only.
    @Test func aTableOfTheLinkerIsData() throws {
        let source = """
            #define ENTRY(name) \\
                static const int name __attribute__((section("entries"), used)) = sizeof #name
            ENTRY(first);
            ENTRY(second);
            extern const int __start_entries[], __stop_entries[];
            int main(int c, char **v) { (void)v; return (int)(__stop_entries - __start_entries) * c; }
            """
        let program = try Program(
            ["main": source],
            after: [
                "main": source.replacing("ENTRY(second);", with: "ENTRY(second); ENTRY(third);")
                    .replacing("* c", with: "+ c")
            ])
        let error = try program.failure()
        #expect(error.code == "diff.changed-data")
    }

    // MARK: - What the loader is asked for

    /// The program may have its own of what a library exports, or a copy.
    @Test func aLibraryAsksForWhatItExports() throws {
        let source = """
            int level = 3;
            __attribute__((visibility("hidden"))) int inner = 4;
            int hook(int x) { return x + 1; }
            int work(int x) { return hook(x) * level + inner; }
            """
        let program = try Program(
            ["part": source], after: ["part": source.replacing("* level", with: "- level")],
            isLibrary: true)
        let report = try program.build().build
        #expect(report.manifest.functions.map(\.symbol) == ["work"])
        #expect(report.imported("hook")?.kind == .function)
        #expect(report.imported("level")?.kind == .object)
        #expect(report.baseSymbol("inner") != nil)
    }

    @Test func whatAResolverChoosesIsCalled() throws {
        let source = """
            static int slow(int x) { return x + 1; }
            static int (*choose(void))(int) { return slow; }
            int sum(int) __attribute__((ifunc("choose")));
            __attribute__((noinline)) int work(int x) { return sum(x) * 3; }
            int main(int c, char **v) { (void)v; return work(c); }
            """
        let program = try Program(
            ["main": source], after: ["main": source.replacing("* 3", with: "* 5")])
        let report = try program.build().build
        #expect(report.manifest.functions.map(\.symbol) == ["work"])
        guard case .indirectFunction? = report.baseSymbol("sum")?.location else {
            Issue.record("not the resolver's")
            return
        }
    }

    // MARK: - Numbers

    private static let states = """
        enum state { IDLE, OPEN, DONE };
        enum state state;
        int step(int x) {
            enum { COLD, WARM, HOT } heat = x > 10 ? HOT : x > 5 ? WARM : COLD;
            if (state == IDLE) state = OPEN; else if (state == OPEN) state = DONE;
            return (int)heat + 10 * (int)state;
        }
        int main(int c, char **v) { (void)v; return step(c); }
        """

    @Test(arguments: [
        ("IDLE, OPEN", "IDLE, WAIT, OPEN", "'OPEN'", "'state' (main.c:1)"),
        ("COLD, WARM", "COLD, MILD, WARM", "'WARM'", "'WARM' (main.c:4)"),
    ])
    func otherNumbersOfEnumeratorsAreRefused(
        _ old: String, _ new: String, _ enumerator: String, _ type: String
    ) throws {
        let program = try Program(
            ["main": Self.states], after: ["main": Self.states.replacing(old, with: new)])
        let error = try program.failure()
        #expect(error.code == "diff.changed-layout")
        for text in [enumerator, type, "2 in place of 1", "--accept-layout"] {
            #expect(error.description.contains(text), "\(error)")
        }
    }

    @Test func newEnumeratorsMayFollow() throws {
        let program = try Program(
            ["main": Self.states],
            after: [
                "main": Self.states.replacing("DONE }", with: "DONE, MORE }")
                    .replacing("state = DONE", with: "state = MORE")
            ])
        #expect(try program.replaced() == ["step"])
    }

    /// A structure without a name is known by the member that it is of.
    @Test func layoutsInsideOthersAreCompared() throws {
        let source = """
            struct item { struct { int first; int second; } pair; } item;
            int work(int x) { return item.pair.second = x; }
            int main(int c, char **v) { (void)v; return work(c); }
            """
        let program = try Program(
            ["main": source],
            after: [
                "main": source.replacing("int first; int second", with: "int second; int first")
            ])
        let error = try program.failure()
        #expect(error.code == "diff.changed-layout")
        #expect(error.description.contains("'item.pair'"), "\(error)")
    }
}
