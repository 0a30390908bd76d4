import Addresses
import Authoring
import ELFImage
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// What `diff` finds in a base without names, and what it does not take for found.
@Suite struct StrippedDiffTests {
    private static let flags = ["-O2", "-g", "-fPIE", "-fno-ipa-icf"]

    /// A base that is stripped, and what its names were.
    private static func strip(
        _ test: DiffTests.Case
    ) throws -> (named: FilePath, names: [String: LinkAddress]) {
        let named = test.folder.path.appending("named")
        try DiffTests.Case.run(["cp", test.base.string, named.string])
        try DiffTests.Case.run(["strip", test.base.string])
        let image = try ELFImage.open(path: named)
        let table = try #require(try image.symbolTable(.full))
        var names: [String: LinkAddress] = [:]
        for index in 1..<table.count {
            let symbol = try table.symbol(index)
            names[symbol.name] = symbol.value
        }
        return (named, names)
    }

    private static let twins = """
        #include <stdio.h>
        static int one, two;
        __attribute__((noinline)) static int first(int *p) { *p += 3; return *p; }
        __attribute__((noinline)) static int second(int *p) { *p += 3; return *p; }
        __attribute__((noinline)) static int *left(void) { return &one; }
        __attribute__((noinline)) static int *right(void) { return &two; }
        int main(void) {
            printf("the first: %d\\n", first(left()));
            printf("the second: %d\\n", second(right()));
            return one - two;
        }
        """

    /// Of equal ones the callers tell which is which.
    @Test(arguments: ["first", "second", "left", "right"])
    func twinsAreToldApart(_ name: String) throws {
        let line = Self.twins.split(separator: "\n").first { $0.contains("\(name)(") } ?? ""
        let changed = Self.twins.replacing(
            line,
            with: line.replacing("+= 3", with: "+= 4").replacing("&one", with: "&one + 1")
                .replacing("&two", with: "&two + 1"))
        let test = try DiffTests.Case(
            Self.twins, changed, linked: Self.flags + ["-pie"], compiled: Self.flags)
        let (_, names) = try Self.strip(test)
        let functions = try test.build().build.manifest.functions
        #expect(functions.map(\.symbol) == [name])
        #expect(functions.first?.range.start == names[name])
        #expect(functions.first?.sourceFile == "daemon.c")
    }

    @Test func twinsThatNobodyCallsByNameAreNot() throws {
        let source = """
            #include <stdio.h>
            __attribute__((noinline)) static int first(int p) { return p * 77 / 3; }
            __attribute__((noinline)) static int second(int p) { return p * 77 / 3; }
            int (*volatile hooks[])(int) = {first, second};
            int main(int c, char **v) { (void)v; puts("a text"); return hooks[c & 1](c); }
            """
        let changed = source.replacing(
            "second(int p) { return p * 77", with: "second(int p) { return p * 78")
        let test = try DiffTests.Case(
            source, changed, linked: Self.flags + ["-pie"], compiled: Self.flags)
        _ = try Self.strip(test)
        let error = try test.failure()
        #expect(error.code == "diff.ambiguous", "\(error)")
        #expect(error.isRefusal)
    }

    /// One function of the base has the code of one that it does not have.
    @Test func whatTheLinkerLeftOutIsNotFound() throws {
        let source = """
            #include <stdio.h>
            __attribute__((noinline)) int gone(int p) { return p * 77; }
            int main(int c, char **v) { (void)v; puts("a text"); return c; }
            """
        let test = try DiffTests.Case(
            source, source.replacing("* 77", with: "* 78"), linked: Self.flags + ["-pie"],
            compiled: Self.flags)
        let other = try test.folder.write(
            source.replacing("gone", with: "kept").replacing("return c", with: "return kept(c)"),
            to: "other.c")
        try DiffTests.Case.run(
            ["gcc", other.string, "-o", test.base.string, "-pie"] + Self.flags)
        _ = try Self.strip(test)
        let error = try test.failure()
        #expect(["diff.unproved", "diff.ambiguous"].contains(error.code), "\(error)")
        #expect(error.isRefusal)
    }

    @Test func anotherProgramIsRefused() throws {
        let test = try DiffTests.Case(
            DiffTests.daemon, DiffTests.daemon.replacing("* 3", with: "* 5"))
        let other = try DiffTests.Case(Self.twins, Self.twins)
        _ = try Self.strip(other)
        let error = try #require(throws: AuthoringError.self) {
            _ = try test.build { $0.base = other.base }
        }
        #expect(error.isRefusal)
        #expect(error.code == "diff.not-in-base", "\(error)")
    }

    /// Assembly has no entry in the unwind table; who calls it says where it is.
    @Test func assemblyIsWhereItIsCalled() throws {
        let source = """
            #include <stdio.h>
            __asm__(".text\\n.globl add\\n.type add,@function\\n"
                    "add: lea 5(%rdi),%eax\\nret\\n.size add,.-add\\n");
            int add(int);
            __attribute__((noinline)) int work(int a) { puts("working"); return add(a) * 3; }
            int main(int c, char **v) { (void)v; return work(c); }
            """
        let test = try DiffTests.Case(source, source.replacing("* 3", with: "* 5"))
        let (_, names) = try Self.strip(test)
        let manifest = try test.build().build.manifest
        #expect(manifest.functions.map(\.symbol) == ["work"])
        #expect(
            manifest.baseSymbols.first { $0.name == "add" }?.location
                == names["add"].map { .function($0) })
    }

    /// What another object defines is where those say that use it, and its data too.
    @Test func whatOtherObjectsHaveIsFound() throws {
        let source = """
            #include <stdio.h>
            extern int level;
            extern __thread int depth;
            int deeper(int);
            __attribute__((noinline)) static int work(int a) {
                printf("working on %d\\n", a);
                level += a;
                depth += level;
                return deeper(a) + depth;
            }
            int main(int c, char **v) { (void)v; return work(c); }
            """
        let test = try DiffTests.Case(
            source, source.replacing("+ depth;", with: "- depth;"),
            linked: ["-x", "c", "-O2", "-c"])
        let rest = try test.folder.write(
            "int level = 4; __thread int depth = 2;\n"
                + "int deeper(int a) { return a / 3 + level; }\n", to: "rest.c")
        let whole = try test.folder.write(source, to: "daemon.c")
        try DiffTests.Case.run(
            ["gcc", whole.string, rest.string, "-o", test.base.string, "-pie"]
                + DiffTests.Case.flags)
        let (_, names) = try Self.strip(test)
        let manifest = try test.build().build.manifest
        #expect(manifest.functions.map(\.symbol) == ["work"])
        func location(_ name: String) -> BaseSymbol.Location? {
            manifest.baseSymbols.first { $0.name == name }?.location
        }
        #expect(location("deeper") == names["deeper"].map { .function($0) })
        #expect(location("level") == names["level"].map { .object($0) })
    }
}
