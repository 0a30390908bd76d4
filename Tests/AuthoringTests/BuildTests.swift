import Addresses
import Authoring
import ELFImage
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// What a patch holds that could be made.
@Suite struct BuildTests {
    static let daemon = """
        #include <stdio.h>
        #include <stdlib.h>
        int hits;
        static volatile int limit = 10;
        static volatile __thread int slot;
        static const char *const words[] = {"one", "two"};
        __attribute__((noinline)) static int check(int x) {
            if (x > limit) { hits++; slot = x; fprintf(stderr, "%s\\n", words[x & 1]); return 1; }
            return 0;
        }
        int (*volatile handler)(int) = check;
        int main(int argc, char **argv) { return handler(argc) + (argv[0] == NULL); }
        """

    static let fix = """
        #include <stdio.h>
        extern volatile int limit;
        extern int hits;
        extern volatile __thread int slot;
        static const char message[] = "patched";
        static int rejected;
        static int plausible(int x) { return x < 2 * limit; }
        int check(int x) {
            slot = x;
            hits++;
            if (!plausible(x)) { rejected++; fputs(message, stderr); return 2; }
            return 0;
        }
        """

    @Test(arguments: [("gcc", "gcc"), ("gcc", "clang"), ("clang", "gcc"), ("clang", "clang")])
    func everyPairOfCompilersWorks(_ base: String, _ fix: String) throws {
        let test = try BuildCase(base: Self.daemon, compiler: base)
        let report = try test.build(Self.fix, compiler: fix)
        let check = try report.function("check")
        #expect(check.sourceFile == "daemon.c")
        #expect(check.replacement == "check")
        #expect(check.original.count == Int(check.range.count))
        #expect(report.baseSymbol("limit")?.isObject == true)
        #expect(report.baseSymbol("limit")?.size == 4)
        #expect(report.baseSymbol("slot")?.isThreadLocal == true)
        #expect(report.baseSymbol("hits")?.isObject == true)
        #expect(report.manifest.name == "fix")
        #expect(report.manifest.base.kind == .positionIndependentExecutable)
        #expect(report.patch.added.contains { $0.name == "rejected" && $0.kind == .data })
        // What was written is what is read.
        #expect(try PatchFile.read(path: test.output).manifest == report.manifest)
    }

    @Test func theSameInputGivesTheSameBytes() throws {
        let test = try BuildCase(base: Self.daemon)
        let first = try test.build(Self.fix).patch.digest
        #expect(try test.build(Self.fix).patch.digest == first)
    }

    @Test func debugInformationStaysOutside() throws {
        let test = try BuildCase(base: Self.daemon)
        let report = try test.build(Self.fix) { $0.compilerFlags = ["-g3"] }
        #expect(!report.patch.object.sections.contains { $0.name.contains(".debug") })
    }

    @Test func optionsFillTheManifest() throws {
        let test = try BuildCase(base: Self.daemon)
        let report = try test.build(Self.fix) {
            $0.label.name = "cve-fix"
            $0.label.version = "1.1"
            $0.label.description = "Checks the limit."
            $0.label.references = ["CVE-2024-1", "CVE-2024-2"]
        }
        #expect(report.manifest.name == "cve-fix")
        #expect(report.manifest.version == "1.1")
        #expect(report.manifest.description == "Checks the limit.")
        #expect(report.manifest.references == ["CVE-2024-1", "CVE-2024-2"])
    }

    /// An unused static function is left out by compilers; `inline` ones even by
    /// GCC with -fkeep-static-functions.
    @Test(arguments: ["gcc", "clang"], ["static", "static inline"])
    func staticReplacementsAreKept(_ compiler: String, _ storage: String) throws {
        let test = try BuildCase(base: Self.daemon)
        let fix = "\(storage) int check(int x) { return __FILE__[0] == x; }"
        let report = try test.build(fix, compiler: compiler)
        #expect(try report.function("check").replacement == "check")
    }

    @Test func functionsOfHeadersAreNotReplacements() throws {
        let test = try BuildCase(
            base: """
                __attribute__((noinline)) static int helper(int x) { return x + 1; }
                __attribute__((noinline)) int work(int x) { return helper(x) * 2; }
                int main(int c, char **v) { (void)v; return work(c); }
                """)
        _ = try test.folder.write(
            "__attribute__((noinline)) static int helper(int x) { return x + 1; }\n",
            to: "helper.h")
        let report = try test.build(
            "#include \"helper.h\"\nint work(int x) { return helper(x) * 3; }")
        #expect(report.manifest.functions.map(\.symbol) == ["work"])
        #expect(report.patch.added.contains { $0.name == "helper" && $0.kind == .function })
    }

    @Test func severalSourcesMakeOnePatch() throws {
        let test = try BuildCase(base: Self.daemon)
        let report = try test.build([
            ("one.c", "extern int shared(int); int check(int x) { return shared(x); }"),
            ("two.c", "int shared(int x) { return x + 1; }"),
        ])
        #expect(report.manifest.functions.map(\.symbol) == ["check"])
        #expect(report.manifest.baseSymbols.isEmpty && report.manifest.imports.isEmpty)
        #expect(report.patch.added.map(\.name) == ["shared"])
    }

    @Test func partsThatStandApartBelongToTheFunction() throws {
        let test = try BuildCase(
            base: """
                #include <stdlib.h>
                __attribute__((noinline)) static int check(int x) {
                    if (__builtin_expect(x > 100, 0)) { abort(); }
                    return x * 2;
                }
                int (*volatile handler)(int) = check;
                int main(int c, char **v) { (void)v; return handler(c); }
                """)
        let fragments = try test.build("int check(int x) { return x; }").function("check").fragments
        #expect(fragments.count == 1)
        let record = try Command.run("nm", ["-S", test.base.string])
        let line = record.output.split(separator: "\n").first { $0.hasSuffix(" check.cold") }
        let address = try #require(line.flatMap { UInt64($0.prefix(16), radix: 16) })
        #expect(fragments.first?.start.rawValue == address)
    }

    @Test func theBasesCETSettingIsTaken() throws {
        for (flag, expected) in [("full", true), ("none", false)] {
            let test = try BuildCase(
                base: Self.daemon, flags: ["-O2", "-g", "-fcf-protection=\(flag)"])
            // The start files of the distribution may lack the property; what
            // counts is the base's note.
            let isMarked = try ELFImage.open(path: test.base).cetFeatures.indirectBranchTracking
            let object = try test.build(Self.fix).patch.object
            let code = try #require(object.section(named: ".text.check"))
            let starts = try object.bytes(of: code).array().starts(with: [0xf3, 0x0f, 0x1e, 0xfa])
            #expect(starts == isMarked)
            if !expected { #expect(!starts) }
        }
    }
}

/// Where the symbols come from that a fix does not define.
@Suite struct ReferenceTests {
    static let fix = BuildTests.fix

    @Test func importsCarryTheVersionThatTheBaseBinds() throws {
        let test = try BuildCase(
            base: """
                #include <string.h>
                #include <stdio.h>
                __asm__(".symver memcpy,memcpy@GLIBC_2.2.5");
                __attribute__((noinline)) int copy(char *to, const char *from, unsigned n) {
                    memcpy(to, from, n);
                    return puts(to);
                }
                int main(int c, char **v) { char b[64]; return copy(b, v[0], c); }
                """)
        let report = try test.build(
            """
            #include <string.h>
            #include <stdio.h>
            int copy(char *to, const char *from, unsigned n) {
                memcpy(to, from, n);
                memmove(to + 1, to, n);
                return puts(to) + (int)strlen(to);
            }
            """)
        #expect(report.imported("memcpy")?.version == "GLIBC_2.2.5")
        #expect(report.imported("puts")?.library == "libc.so.6")
        // Not taken by the base so far; glibc's is an IFUNC.
        #expect(report.imported("strlen")?.kind == .indirectFunction)
        #expect(report.imported("strlen")?.version == "GLIBC_2.2.5")
    }

    @Test func copiesOfLibraryDataInAProgramAreUsed() throws {
        let test = try BuildCase(
            base: BuildTests.daemon, flags: ["-O2", "-g", "-no-pie", "-fno-pie"])
        let report = try test.build(Self.fix)
        #expect(report.manifest.base.kind == .executable)
        let table = try #require(try ELFImage.open(path: test.base).symbolTable(.dynamic))
        let index = try #require(
            table.indexes(named: "stderr").first { table[$0]?.isUndefined == false })
        #expect(report.baseSymbol("stderr")?.location == table[index].map { .object($0.value) })
        #expect(report.imported("stderr") == nil)
    }

    @Test func withoutSuchACopyTheLibrarysIsUsed() throws {
        let test = try BuildCase(
            base: "int check(int x) { return x * x + 2; } int main(int c, char **v) { return c; }")
        let report = try test.build(
            """
            #include <stdio.h>
            extern char **environ;
            int check(int x) { return fputs(environ[0], stdout) + x; }
            """)
        #expect(report.imported("stdout")?.kind == .object)
        #expect(report.imported("environ")?.kind == .object)
        #expect(report.imported("stdout")?.version == "GLIBC_2.2.5")
    }

    @Test func exportedDataOfALibraryMayBeElsewhere() throws {
        let test = try BuildCase(
            base: """
                int shared = 1;
                static int own = 2;
                __attribute__((visibility("hidden"))) int hidden = 3;
                __thread int slot;
                int work(int x) { return x + shared + own + hidden + slot; }
                void set(int x) { own = hidden = x; }
                """, flags: ["-O2", "-g", "-shared", "-fPIC", "-Wl,-soname,libwork.so.1"],
            name: "libwork.so")
        let report = try test.build(
            """
            extern int shared, own, hidden;
            extern volatile __thread int slot;
            int work(int x) { return x - shared - own - hidden - slot; }
            """)
        #expect(report.manifest.base.kind == .sharedObject)
        #expect(report.imported("shared")?.library == "libwork.so.1")
        #expect(report.imported("shared")?.kind == .object)
        #expect(report.baseSymbol("own")?.isObject == true)
        #expect(report.baseSymbol("hidden")?.isObject == true)
        #expect(report.baseSymbol("slot")?.isThreadLocal == true)
    }

    @Test func librariesAreFoundByTheRunPath() throws {
        let test = try BuildCase(base: "int main(void) { return 0; }")
        let place = test.folder.path.appending("lib")
        let made = try Command.run("mkdir", [place.string])
        try #require(made.succeeded)
        let library = try test.folder.write(
            "int offered(int x) { return x; } int other(int x) { return x; }", to: "offer.c")
        try Fixture.compile(
            source: library, to: place.appending("liboffer.so"),
            flags: ["-shared", "-fPIC", "-Wl,-soname,liboffer.so"])
        let program = try test.folder.write(
            """
            extern int offered(int);
            __attribute__((noinline)) int work(int x) { return offered(x); }
            int main(int c, char **v) { (void)v; return work(c); }
            """, to: "user.c")
        try Fixture.compile(
            source: program, to: test.base,
            flags: [
                "-O2", "-g", "-L", place.string, "-loffer", "-Wl,-rpath,$ORIGIN/lib",
            ])
        let fix = "extern int other(int); int work(int x) { return other(x); }"
        #expect(try test.build(fix).imported("other")?.library == "liboffer.so")

        // Without the run path it is found nowhere, and the error says so.
        try Fixture.compile(
            source: program, to: test.base,
            flags: ["-O2", "-g", "-L", place.string, "-loffer"])
        let remove = try Command.run("rm", [test.output.string])
        try #require(remove.succeeded)
        let error = try test.failure(fix)
        #expect("\(error)".contains("'other'") && "\(error)".contains("liboffer.so"), "\(error)")
        let report = try test.build(fix) { $0.libraryPaths = [place] }
        #expect(report.imported("other")?.library == "liboffer.so")
    }

    @Test func staticProgramsHaveEverythingThemselves() throws {
        let test = try BuildCase(
            base: BuildTests.daemon, flags: ["-O2", "-g", "-static"])
        let report = try test.build(
            """
            #include <stdio.h>
            #include <string.h>
            int check(int x) { return fputs("x", stderr) + (int)strlen((char *)(long)x); }
            """)
        #expect(report.manifest.imports.isEmpty)
        #expect(report.baseSymbol("fputs")?.isFunction == true)
        if case .indirectFunction? = report.baseSymbol("strlen")?.location {
        } else {
            Issue.record("strlen is \(String(describing: report.baseSymbol("strlen")))")
        }
    }

    @Test func weakReferencesMayStayOpen() throws {
        let test = try BuildCase(base: BuildTests.daemon)
        let report = try test.build(
            """
            extern int absent(int) __attribute__((weak));
            int check(int x) { return absent ? absent(x) : 0; }
            """)
        let symbol = try #require(report.imported("absent"))
        #expect(symbol.weak && symbol.library == nil)
    }

    @Test func namesComeFromASeparateDebugFile() throws {
        let test = try BuildCase(base: BuildTests.daemon)
        let debug = test.folder.path.appending("daemon.debug")
        for arguments in [
            ["--only-keep-debug", test.base.string, debug.string],
            ["--strip-all", test.base.string],
            ["--add-gnu-debuglink=\(debug)", test.base.string],
        ] {
            let objcopy = try Command.run("objcopy", arguments)
            try #require(objcopy.succeeded, "\(objcopy.errorOutput)")
        }
        let report = try test.build(Self.fix)
        #expect(try report.function("check").copies == .none)
        #expect(report.baseSymbol("limit")?.isObject == true)
    }
}
