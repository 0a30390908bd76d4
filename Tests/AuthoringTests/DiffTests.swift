import Authoring
import ELFImage
import ObjectDiff
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// What `diff` makes of two sources, and what it refuses.
@Suite struct DiffTests {
    /// A base, and objects of it before and after a change.
    struct Case {
        let folder: TemporaryDirectory
        let base: FilePath
        let before: FilePath
        let after: FilePath
        var output: FilePath { folder.path.appending("fix.hpatch") }

        static let flags = ["-O2", "-g", "-fPIE"]
        static let sections = ["-ffunction-sections", "-fdata-sections", "-c"]

        init(
            _ before: String, _ after: String, compiler: String = "gcc",
            linked: [String] = flags + ["-pie"], compiled: [String] = flags
        ) throws {
            folder = try TemporaryDirectory()
            base = folder.path.appending("daemon")
            let old = try folder.write(before, to: "daemon.c")
            try Self.run([compiler, old.string, "-o", base.string] + linked)
            self.before = try folder.makeDirectory().appending("daemon.o")
            self.after = try folder.makeDirectory().appending("daemon.o")
            try Self.run(
                [compiler, old.string, "-o", self.before.string] + compiled + Self.sections)
            let new = try folder.write(after, to: "daemon.c")
            try Self.run(
                [compiler, new.string, "-o", self.after.string] + compiled + Self.sections)
        }

        static func run(_ arguments: [String]) throws {
            let command = try Command.run(arguments[0], Array(arguments.dropFirst()))
            try #require(command.succeeded, "\(command.errorOutput)")
        }

        func build(_ change: (inout DiffRequest) -> Void = { _ in }) throws -> DiffReport {
            var request = DiffRequest(
                base: base, before: [before], after: [after], output: output)
            change(&request)
            return try DiffBuilder.build(request)
        }

        func failure(sourceLocation: SourceLocation = #_sourceLocation) throws -> AuthoringError {
            let error = try #require(
                throws: AuthoringError.self, sourceLocation: sourceLocation
            ) { _ = try build() }
            let left = try Command.run("ls", ["-A", folder.path.string])
            #expect(!left.output.contains("hpatch"), sourceLocation: sourceLocation)
            return error
        }
    }

    static let daemon = """
        #include <stdio.h>
        #include <stdlib.h>
        static int hits = 3;
        static const char *const words[] = {"one", "two"};
        static int (*volatile hook)(int);
        __attribute__((noinline)) static int leaf(int x) { hits += x; return hits; }
        __attribute__((noinline)) int work(int a) {
            if (a > 50) { fprintf(stderr, "line %d\\n", __LINE__); abort(); }
            puts(words[a & 1]);
            return leaf(a) * 3;
        }
        __attribute__((noinline)) int other(int a) { return leaf(a + 1) / 7; }
        int main(int c, char **v) { (void)v; hook = leaf; return work(c) + other(c) + hook(c); }
        """

    private static func daemon(_ old: String, _ new: String) -> String {
        daemon.replacing(old, with: new)
    }

    @Test(arguments: ["gcc", "clang"]) func oneFunctionThatChanged(_ compiler: String) throws {
        let test = try Case(
            Self.daemon, Self.daemon("leaf(a) * 3", "leaf(a) * 5"), compiler: compiler)
        let report = try test.build()
        #expect(report.build.manifest.functions.map(\.symbol) == ["work"])
        #expect(report.build.baseSymbol("leaf")?.isFunction == true)
        #expect(report.build.imported("puts") != nil)
        #expect(try PatchFile.read(path: test.output).manifest == report.build.manifest)
    }

    @Test func theSameObjectsGiveTheSameBytes() throws {
        let test = try Case(Self.daemon, Self.daemon("* 3", "* 5"))
        let first = try test.build().build.patch.digest
        #expect(try test.build().build.patch.digest == first)
    }

    @Test func theLabelIsTheAuthors() throws {
        let test = try Case(Self.daemon, Self.daemon("* 3", "* 5"))
        let report = try test.build {
            $0.label.name = "cve-fix"
            $0.label.version = "1.1"
            $0.label.references = ["CVE-2024-1"]
            $0.label.isCumulative = true
        }
        #expect(report.build.manifest.name == "cve-fix")
        #expect(report.build.manifest.version == "1.1")
        #expect(report.build.manifest.references == ["CVE-2024-1"])
        #expect(report.build.manifest.isCumulative)
    }

    // MARK: - What is no change

    @Test func nothingChangesWhereOnlyLinesMove() throws {
        let test = try Case(Self.daemon, "\n\n\n" + Self.daemon)
        guard case .change(.nothingToPatch(let what)) = try test.failure() else {
            Issue.record("not the reason")
            return
        }
        #expect(what.movedLines == 1)
    }

    /// One number that changes is a change, where its line is the same.
    @Test func aNumberIsNoLine() throws {
        let test = try Case(Self.daemon, Self.daemon("a > 50", "a > 51"))
        #expect(try test.build().build.manifest.functions.map(\.symbol) == ["work"])
        let both = try Case(
            Self.daemon, "\n" + Self.daemon("__LINE__", "30"))
        #expect(try both.build().build.manifest.functions.map(\.symbol) == ["work"])
    }

    @Test func theOrderOfFunctionsIsNoChange() throws {
        let one = "int first(int x) { return x / 3; }\n"
        let two = "int second(int x) { return x / 5; }\n"
        let test = try Case(Self.daemon + one + two, Self.daemon + two + one)
        #expect(try test.failure().code == "diff.nothing-to-patch")
    }

    @Test func debugInformationIsNoChange() throws {
        let test = try Case(Self.daemon, Self.daemon)
        let report = try #require(throws: AuthoringError.self) {
            try Case.run(
                ["gcc", "-x", "c", "-o", test.after.string]
                    + [test.folder.path.appending("daemon.c").string, "-O2", "-fPIE"]
                    + Case.sections)
            _ = try test.build()
        }
        #expect(report.code == "diff.nothing-to-patch")
    }

    private static let speaker = """
        #include <stdio.h>
        struct link { const struct link *next; int value; };
        static const struct link one, two = {&one, 2}, one = {&two, 1};
        int first(int a) { printf("one %d\\n", a); return a; }
        int second(int a) {
            puts("this text takes more than thirty-two bytes");
            return a > 3 ? puts("two") : 0;
        }
        double third(int a) { return a * 2.5; }
        int fourth(int a) {
            const char *names[] = {"x", "y", "zed"};
            return puts(names[a % 3]);
        }
        double fifth(int a) { return a / 3.5; }
        int sixth(int a) {
            switch (a) {
            case 1: return puts("a"); case 2: return puts("b"); case 3: return a + 9;
            case 4: return puts("d"); case 5: return puts("e"); case 6: return a / 7;
            default: return 0;
            }
        }
        int seventh(int a) { return a > two.value ? (int)(long)&one : 0; }
        int main(int c, char **v) {
            (void)v;
            return first(c) + second(c) + (int)third(c) + fourth(c) + (int)fifth(c) + sixth(c)
                + seventh(c);
        }
        """

    /// Where the linker may not merge them, constants stand one behind the other without
    /// names, and what stands behind one that changed has moved.
    @Test(arguments: ["gcc -O0", "gcc -O0 -fno-pie", "gcc -Os -fno-merge-constants", "clang -O0"])
    func constantsWithoutNames(_ how: String) throws {
        let parts = how.split(separator: " ").map(String.init)
        let flags = Array(parts.dropFirst()) + ["-g", "-fno-inline"]
        let linked = parts.contains("-fno-pie") ? ["-no-pie"] : ["-fPIE", "-pie"]
        for (old, new, function) in [
            ("one %d", "number %d", "first"), ("two\"", "ten\"", "second"),
            ("than thirty", "than fourty", "second"), ("2.5", "2.25", "third"),
            ("zed", "zoo", "fourth"), ("x\"", "\"", "fourth"), ("3.5", "3.25", "fifth"),
            ("puts(\"d\")", "puts(\"D\") + 1", "sixth"), ("case 4", "case 8", "sixth"),
        ] {
            let test = try Case(
                Self.speaker, Self.speaker.replacing(old, with: new), compiler: parts[0],
                linked: flags + linked, compiled: flags + linked.dropLast())
            // Where a number ends nobody says, so what follows counts to it.
            let also = function == "fifth" ? ["third"] : []
            let found = try test.build().build.manifest.functions.map(\.symbol)
            #expect(
                found == [function] || found == also + [function],
                "\(how): \(old) to \(new)")
        }
    }

    /// Two that refer to each other change together.
    @Test func constantsInACircle() throws {
        let test = try Case(
            Self.speaker, Self.speaker.replacing("{&two, 1}", with: "{&two, 7}"),
            linked: ["-O0", "-g", "-fPIE", "-pie"], compiled: ["-O0", "-g", "-fPIE"])
        #expect(try test.build().build.manifest.functions.map(\.symbol) == ["seventh"])
    }

    // MARK: - Refusals

    @Test(arguments: [
        ("hits = 3", "hits = 4", "diff.changed-data", "'hits'"),
        (
            "int main", "__attribute__((constructor)) static void c(void) { hits = 1; } int main",
            "diff.changed-initialiser", "runs when the program starts"
        ),
        (
            "return leaf(a) * 3;", "static __thread int t = 1; return leaf(a) + t++;",
            "diff.new-thread-local", "t.0"
        ),
    ])
    func whatCannotBeSwitchedIsRefused(
        _ old: String, _ new: String, _ code: String, _ says: String
    ) throws {
        let error = try Case(Self.daemon, Self.daemon(old, new)).failure()
        #expect(error.code == code)
        #expect(error.isRefusal)
        #expect(error.description.contains(says), "\(error)")
    }

    // MARK: - Layouts

    private static let queue = """
        #include <stdlib.h>
        struct entry { int kind; char *text; long count; };
        struct entry *volatile first;
        __attribute__((noinline)) long count(void) { return first ? first->count : 0; }
        int main(void) { first = calloc(1, sizeof *first); return (int)count(); }
        """

    @Test(arguments: [
        ("long count; }", "long count; int more; }", "adds its member 'more'"),
        ("int kind; char", "int kind; int other; char", "adds its member 'other'"),
        (
            "char *text; long count; }", "long count; char *text; }",
            "moves its member 'count' from byte 16 to byte 8"
        ),
        ("long count; }", "short count; }", "'count' another size"),
        ("struct entry {", "struct __attribute__((aligned(64))) entry {", "64 bytes"),
    ])
    func anotherLayoutIsRefused(_ old: String, _ new: String, _ says: String) throws {
        let changed = Self.queue.replacing(old, with: new)
            .replacing("first->count", with: "first->count + 1")
        let test = try Case(Self.queue, changed)
        let error = try test.failure()
        #expect(error.code == "diff.changed-layout")
        #expect(error.isRefusal)
        #expect(error.description.contains("'entry' (daemon.c:2)"), "\(error)")
        #expect(error.description.contains(says), "\(error)")
        let report = try test.build { $0.acceptedLayouts = ["entry"] }
        #expect(report.build.manifest.functions.map(\.symbol).contains("count"))
    }

    /// Lines alone tell nothing of types, and nor does what stands in another file.
    @Test(arguments: ["-g0", "-g1", "-gsplit-dwarf"])
    func withoutDebugInformationLayoutsAreNotCompared(_ debug: String) throws {
        let flags = ["-O2", "-fPIE", debug]
        let changed = Self.queue.replacing("first->count", with: "first->count + 1")
        let test = try Case(Self.queue, changed, linked: flags + ["-pie"], compiled: flags)
        #expect(try test.build().build.warnings.map(\.code).contains("layouts-unknown"))
        let told = try Case(Self.queue, changed)
        #expect(try !told.build().build.warnings.map(\.code).contains("layouts-unknown"))
    }

    @Test func aNameIsNoLayout() throws {
        let changed = Self.queue.replacing("count;", with: "number;")
            .replacing("first->count", with: "first->number + 1")
        #expect(
            try Case(Self.queue, changed).build().build.manifest.functions.map(\.symbol)
                .contains("count"))
    }

    // MARK: - Callers

    private static let called = "int work(int a) { return a * 3 + a / 7; }\n"
    private static let calling =
        "int work(int); int main(int c, char **v) { (void)v; return work(c); }\n"

    /// A caller that is in none of the objects calls as before.
    @Test func anotherSignatureIsRefusedWhereCallersStay() throws {
        let test = try Case(Self.called + Self.calling, Self.called)
        let folder = try TemporaryDirectory()
        let main = try folder.write(Self.calling, to: "main.c")
        let work = try folder.write(Self.called, to: "work.c")
        try Case.run(
            ["gcc", main.string, work.string, "-o", test.base.string, "-pie"] + Case.flags)
        try Case.run(
            ["gcc", work.string, "-o", test.before.string] + Case.flags + Case.sections)
        _ = try folder.write("int work(int a, int b) { return a * 3 + b; }\n", to: "work.c")
        try Case.run(
            ["gcc", work.string, "-o", test.after.string] + Case.flags + Case.sections)
        let error = try test.failure()
        #expect(error.code == "diff.changed-signature")
        #expect(error.isRefusal)
        for text in ["'int (int, int)'", "'int (int)'", "main"] {
            #expect(error.description.contains(text), "\(error)")
        }
    }

    /// Where those who call are compared too, they come along.
    @Test func anotherSignatureTakesItsCallersAlong() throws {
        let test = try Case(
            Self.daemon,
            Self.daemon("int leaf(int x) { hits += x;", "int leaf(int x, int y) { hits += x + y;")
                .replacing("leaf(a)", with: "leaf(a, a)")
                .replacing("leaf(a + 1)", with: "leaf(a + 1, a)")
                .replacing("hook = leaf", with: "hook = other"))
        let functions = try test.build().build.manifest.functions.map(\.symbol)
        #expect(Set(functions).isSuperset(of: ["leaf", "work", "other"]))
    }

    private static let thrower = """
        #include <stdexcept>
        #include <string>
        struct Text { std::string value; int size() const; };
        __attribute__((noinline)) int Text::size() const { return value.size() * 3; }
        __attribute__((noinline)) int check(int x) {
            if (x > 5) throw std::runtime_error("large");
            return x;
        }
        int main(int c, char **v) {
            try { return check(c) + Text{v[0]}.size(); } catch (std::exception &) { return 1; }
        }
        """

    private static func throwingCase(linked: [String] = []) throws -> Case {
        try Case(
            thrower, thrower.replacing("size() * 3", with: "size() * 5"), compiler: "g++",
            linked: ["-x", "c++"] + Case.flags + ["-pie"] + linked,
            compiled: ["-x", "c++"] + Case.flags)
    }

    @Test func theUnwinderThatIsLinkedWithIsToldOfTheTables() throws {
        let test = try Self.throwingCase()
        let manifest = try test.build().build.manifest
        #expect(manifest.functions.map(\.symbol) == ["_ZNK4Text4sizeEv"])
        guard case .imported(let symbol)? = manifest.runsOnce.registries.first else {
            Issue.record("no library in \(manifest.runsOnce)")
            return
        }
        #expect(manifest.runsOnce.registries.count == 1)
        #expect(symbol.library == "libgcc_s.so.1")
        let silent = try test.build { $0.acceptExceptions = true }.build.manifest
        #expect(silent.runsOnce == RunsOnce())
    }

    /// The program cleans up by its own copy, and what the C++ library throws goes by
    /// that of the shared one.
    @Test func everyCopyOfTheUnwinderIsToldOfTheTables() throws {
        let manifest = try Self.throwingCase(linked: ["-static-libgcc"]).build().build.manifest
        let isInBase = manifest.runsOnce.registries.map { registry in
            if case .base = registry { true } else { false }
        }
        #expect(isInBase == [true, false])
    }

    @Test func withoutAnUnwinderExceptionsHaveToBeAccepted() throws {
        let test = try Self.throwingCase(
            linked: ["-static-libgcc", "-static-libstdc++", "-Wl,--strip-debug"])
        // What could be told is not in the program under the name that it goes by.
        let renamed = try Command.run(
            "objcopy", ["--redefine-sym", "__register_frame_info=other", test.base.string])
        #expect(renamed.succeeded)
        let error = try test.failure()
        #expect(error.code == "build.exceptions")
        #expect(error.isRefusal)
        let report = try test.build { $0.acceptExceptions = true }
        #expect(report.build.manifest.functions.map(\.symbol) == ["_ZNK4Text4sizeEv"])
    }

    /// Nothing names the unwinder that was linked into a program without symbols.
    @Test func anUnwinderWithoutANameHasToBeAccepted() throws {
        let test = try Self.throwingCase(linked: ["-static-libgcc", "-static-libstdc++", "-s"])
        let error = try test.failure()
        #expect(error.code == "build.exceptions")
        let report = try test.build { $0.acceptExceptions = true }
        #expect(report.build.manifest.runsOnce == RunsOnce())
        // Without one of its own it is told of that of the library.
        let shared = try Self.throwingCase(linked: ["-s"]).build().build.manifest
        #expect(shared.runsOnce.registries.count == 1)
    }

    private static let pointers = """
        #include <stdio.h>
        #include <stdlib.h>
        static int work(int a) { puts("working"); return a * 3; }
        struct steps { const char *name; int (*step)(int); };
        static const struct steps steps[] = {{"work", work}, {"abs", abs}};
        static int (*volatile hook)(int);
        __attribute__((noinline)) static void hang(void) { hook = work; }
        __attribute__((noinline)) static int call(int a) { return work(a) + 1; }
        int main(int c, char **v) { hang(); return steps[c & 1].step(c) + hook(c) + call(c); }
        """

    /// Who has the address of a function calls it as before.
    @Test(arguments: ["-pie -fPIE", "-no-pie -fno-pie", "-pie -fPIC"], ["data", "code"])
    func anotherSignatureIsRefusedWhereAPointerStays(_ flags: String, _ place: String) throws {
        let flags = ["-O2", "-g", "-fno-inline"] + flags.split(separator: " ").map(String.init)
        let source =
            place == "data"
            ? Self.pointers.replacing("hook = work", with: "hook = abs")
            : Self.pointers.replacing("{\"work\", work}", with: "{\"abs\", abs}")
        let changed = source.replacing(
            "int work(int a) { puts(\"working\"); return a * 3",
            with: "int work(int a, int b) { puts(\"working\"); return a * b"
        ).replacing("work(a)", with: "work(a, 4)")
            .replacing("= {{\"work\", work}", with: "= {{\"work\", (int (*)(int))work}")
            .replacing("hook = work", with: "hook = (int (*)(int))work")
        let test = try Case(
            source, changed, linked: flags,
            compiled: flags.filter { !$0.hasSuffix("-pie") || $0.hasPrefix("-f") })
        let error = try test.failure()
        #expect(error.code == "diff.changed-signature", "\(error)")
        #expect(error.description.contains(place == "data" ? "'steps'" : "hang"), "\(error)")
        #expect(error.isRefusal)
    }

    // MARK: - Kinds of bases

    private static let library = """
        #include <stdio.h>
        static __thread int depth;
        __thread int level;
        static int counts[4];
        int visible = 3;
        __attribute__((noinline)) static int leaf(int x) { counts[x & 3]++; return depth += x; }
        __attribute__((noinline)) int work(int a) { level++; printf("%d", a); return leaf(a) * 3; }
        int other(int a) { return leaf(a) + visible; }
        """

    @Test(arguments: [
        (["-O2", "-g", "-fPIC"], ["-shared"]), (["-O2", "-g", "-fno-pie"], ["-no-pie"]),
        (["-O1", "-g", "-fPIE"], ["-pie"]), (["-Os", "-g", "-fPIE"], ["-pie"]),
        (["-O2", "-g", "-fPIE", "-fcf-protection=full", "-fno-plt"], ["-pie"]),
    ])
    func everyKindOfBase(_ flags: [String], _ linked: [String]) throws {
        let isLibrary = linked == ["-shared"]
        let source = Self.library + (isLibrary ? "" : "\n" + Self.calling)
        let test = try Case(
            source, source.replacing("leaf(a) * 3", with: "leaf(a) * 5"), linked: flags + linked,
            compiled: flags)
        let report = try test.build()
        #expect(report.build.manifest.functions.map(\.symbol) == ["work"])
        #expect(report.build.baseSymbol("leaf")?.isFunction == true)
    }

    /// A program has copies of those variables of libraries only that it used when it
    /// was linked.
    @Test func dataOfALibraryMustBeInReach() throws {
        let source = "#include <stdio.h>\n" + Self.called + Self.calling
        let test = try Case(
            source, source.replacing("return a * 3", with: "fputs(\"x\", stderr); return a * 5"))
        let error = try test.failure()
        #expect(error.code == "diff.far-data")
        #expect(error.description.contains("'stderr'"), "\(error)")
        #expect(error.description.contains("'work'"), "\(error)")
    }

    @Test func aBaseOfOtherFlagsIsRefused() throws {
        let test = try Case(
            Self.daemon, Self.daemon("* 3", "* 5"), linked: ["-O1", "-g", "-fPIE", "-pie"])
        let error = try test.failure()
        #expect(error.code == "diff.base-differs")
        #expect(error.isRefusal)
        #expect(error.description.contains("'work'"), "\(error)")
    }

    /// What the changed function calls is part of what the objects must have in
    /// common with the base.
    @Test func aBaseOfAnotherSourceIsRefused() throws {
        let test = try Case(Self.daemon, Self.daemon("* 3", "* 5"))
        let other = try Case(Self.daemon("hits += x;", "hits += 2 * x;"), Self.daemon)
        let error = try #require(throws: AuthoringError.self) {
            _ = try test.build { $0.base = other.base }
        }
        #expect(error.code == "diff.base-differs")
        #expect(error.description.contains("'leaf'"), "\(error)")
    }

    @Test func withoutSectionsOfTheirOwnFunctionsCannotBeTold() throws {
        let test = try Case(
            Self.daemon, Self.daemon("* 3", "* 5"), compiled: Case.flags)
        for (object, text) in [
            (test.before, Self.daemon), (test.after, Self.daemon("* 3", "* 5")),
        ] {
            let source = try test.folder.write(text, to: "whole.c")
            try Case.run(["gcc", "-c", source.string, "-o", object.string] + Case.flags)
        }
        let error = try test.failure()
        #expect(error.code == "diff.shared-section")
        #expect(error.description.contains("-ffunction-sections"), "\(error)")
    }

    @Test func whatIsNoObjectIsAnError() throws {
        let test = try Case(Self.daemon, Self.daemon("* 3", "* 5"))
        let error = try #require(throws: AuthoringError.self) {
            _ = try test.build { $0.after = [test.base] }
        }
        #expect(!error.isRefusal)
        #expect(error.description.contains("gcc -c"), "\(error)")
        let pairing = try #require(throws: AuthoringError.self) {
            _ = try test.build { $0.before = [test.before, test.before] }
        }
        #expect(pairing.code == "diff.pairing")
        let output = try #require(throws: AuthoringError.self) {
            _ = try test.build { $0.output = test.after }
        }
        #expect(output.code == "build.output-is-input")
    }
}
