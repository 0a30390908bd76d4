import Addresses
import Authoring
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// Errors that name what is not there, or there more than once.
@Suite struct NameErrorTests {
    static let daemon = """
        int hits;
        __attribute__((noinline)) int check_request(int x) { hits += x; return hits * x; }
        int main(int c, char **v) { (void)v; return check_request(c); }
        """

    /// Two sources with static functions and variables of the same names.
    static func ambiguous() throws -> BuildCase {
        func source(_ tag: String) -> String {
            """
            static volatile int state = 1;
            __attribute__((noinline)) static int parse(int x) { state += x; return state * 3; }
            __attribute__((noinline)) int use_\(tag)(int x) { return parse(x) + state; }
            """
        }
        return try BuildCase(sources: [
            ("first.c", source("first")), ("second.c", source("second")),
            (
                "main.c",
                "int use_first(int), use_second(int); "
                    + "int main(int c, char **v) { (void)v; return use_first(c) + use_second(c); }"
            ),
        ])
    }

    @Test func aMisspeltFunctionIsAnsweredWithTheRightName() throws {
        let test = try BuildCase(base: Self.daemon)
        let error = try test.failure("int chek_request(int x) { return x; }")
        #expect(error.code == "build.no-replacement" && !error.isRefusal)
        #expect("\(error)".contains("no function 'chek_request' (did you mean 'check_request'?)"))
        #expect("\(error)".contains(test.base.string))
        let empty = try test.failure("int unrelated_data = 1;")
        #expect("\(empty)".contains("defines no function"), "\(empty)")
    }

    @Test func namesThatAreAddedAndNearlyThere() throws {
        let test = try BuildCase(base: Self.daemon)
        let report = try test.build(
            "int check_request(int x) { return x; } int maim(void) { return 1; }")
        let texts = report.warnings.filter { $0.code == "similar-name" }.map { "\($0)" }
        #expect(texts.count == 1)
        #expect(texts.first?.contains("'maim'") == true)
    }

    @Test func namesOfCPlusPlusAreToldApart() throws {
        let test = try BuildCase(base: Self.daemon)
        let error = try test.failure("int _Z13check_requesti(int x) { return x; }")
        #expect("\(error)".contains("extern \"C\" if 'check_request' is meant"), "\(error)")
    }

    @Test func unresolvedNamesAreAllTold() throws {
        let test = try BuildCase(base: Self.daemon)
        let error = try test.failure(
            """
            extern int hit; int missing_helper(int); int missing_other(int);
            int check_request(int x) { return hit + missing_helper(x) + missing_other(x); }
            """)
        let text = "\(error)"
        #expect(error.code == "build.unresolved")
        #expect(text.contains("'hit' (did you mean 'hits'"), "\(text)")
        #expect(text.contains("'missing_helper'") && text.contains("'missing_other'"))
    }

    @Test func anAmbiguousFunctionIsChosenByFileOrAddress() throws {
        let test = try Self.ambiguous()
        let fix = "int parse(int x) { return x; }"
        let error = try test.failure(fix)
        guard case .ambiguous("parse", _, let candidates) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(
            candidates.map(\.sourceFile).sorted { ($0 ?? "") < ($1 ?? "") } == [
                "first.c", "second.c",
            ])
        let text = "\(error)"
        #expect(text.contains("from first.c") && text.contains("from second.c"), "\(text)")
        #expect(text.contains("--pick parse=second.c"), "\(text)")

        let chosen = try test.build(fix) { $0.picks["parse"] = .sourceFile("second.c") }
        #expect(try chosen.function("parse").sourceFile == "second.c")
        let first = try #require(candidates.first { $0.sourceFile == "first.c" })
        let byAddress = try test.build(fix) { $0.picks["parse"] = .address(first.address) }
        #expect(try byAddress.function("parse").range.start == first.address)
    }

    @Test func anAmbiguousVariableIsChosenLikewise() throws {
        let test = try Self.ambiguous()
        let fix = "extern int state; int use_first(int x) { return state - x; }"
        #expect(try test.failure(fix).code == "build.ambiguous")
        let first = try test.build(fix) { $0.picks["state"] = .sourceFile("first.c") }
        let second = try test.build(fix) { $0.picks["state"] = .sourceFile("second.c") }
        #expect(first.baseSymbol("state") != second.baseSymbol("state"))
    }

    @Test func aPickThatNamesNothingIsAnError() throws {
        let test = try Self.ambiguous()
        let error = try test.failure("int parse(int x) { return x; }") {
            $0.picks["parse"] = .sourceFile("third.c")
        }
        #expect(error.code == "build.pick")
        #expect("\(error)".contains("--pick parse=third.c") && "\(error)".contains("first.c"))
        let unused = try test.failure("int use_first(int x) { return x; }") {
            $0.picks["pars"] = .sourceFile("first.c")
        }
        #expect(unused.code == "build.pick" && "\(unused)".contains("'pars'"), "\(unused)")
    }

    @Test func theSameStaticFunctionTwiceInTheFix() throws {
        let test = try BuildCase(base: Self.daemon)
        let error = try #require(throws: AuthoringError.self) {
            _ = try test.build([
                ("one.c", "static int check_request(int x) { return x; }"),
                ("two.c", "static int check_request(int x) { return x + 1; }"),
            ])
        }
        #expect(error.code == "build.defined-twice", "\(error)")
    }
}

/// Bases and compilers that cannot be used.
@Suite struct EnvironmentErrorTests {
    static let fix = "int check_request(int x) { return x; }"

    @Test func basesThatAreNone() throws {
        let test = try BuildCase(base: NameErrorTests.daemon)
        let text = try test.folder.write("hello", to: "notes.txt")
        let object = test.folder.path.appending("daemon.o")
        try Fixture.compile(
            source: test.folder.path.appending("daemon.c"), to: object, flags: ["-c"])
        for (path, expected) in [
            (text, "not an ELF"), (object, "not linked yet"),
            (test.folder.path.appending("absent"), "No such file"),
            (FilePath("/tmp"), "regular file"),
        ] {
            let error = try #require(throws: AuthoringError.self) {
                _ = try test.build(Self.fix) { $0.base = path }
            }
            #expect("\(error)".contains(expected), "\(error)")
            #expect("\(error)".contains(path.string), "\(error)")
        }
    }

    @Test func strippedBases() throws {
        let test = try BuildCase(base: NameErrorTests.daemon)
        let strip = try Command.run("strip", [test.base.string])
        try #require(strip.succeeded)
        let error = try test.failure(Self.fix)
        #expect(error.code == "build.no-symbols")
        #expect("\(error)".contains("stripped") && "\(error)".contains("debug symbols"))
    }

    @Test func programsForOtherMachines() throws {
        let test = try BuildCase(base: NameErrorTests.daemon)
        var bytes = try test.base.bytes()
        bytes[18] = 183  // e_machine: EM_AARCH64
        let other = test.folder.path.appending("other")
        try other.write(bytes)
        let error = try #require(throws: AuthoringError.self) {
            _ = try test.build(Self.fix) { $0.base = other }
        }
        #expect("\(error)".contains("another kind of machine"), "\(error)")
    }

    @Test func compilersThatDoNotServe() throws {
        let test = try BuildCase(base: NameErrorTests.daemon)
        #expect(
            try test.failure(Self.fix, compiler: "no-such-compiler").code
                == "build.compiler-missing")
        let narrow = try test.failure(Self.fix) { $0.compilerFlags = ["-m32"] }
        #expect(narrow.code == "build.compiler-machine", "\(narrow)")
        let broken = try test.failure("int check_request(int x) { return y; }")
        #expect(broken.code == "build.compiler-failed")
        #expect("\(broken)".contains("fix.c"), "\(broken)")
        let absent = try test.failure(Self.fix) {
            $0.sources = [test.folder.path.appending("absent.c")]
        }
        #expect(absent.code == "build.source" && "\(absent)".contains("absent.c"), "\(absent)")
        let flag = try test.failure(Self.fix) { $0.compilerFlags = ["-fno-such-flag"] }
        #expect(flag.code == "build.compiler-flag", "\(flag)")
        #expect("\(flag)".contains("-fno-such-flag") && !"\(flag)".contains("/dev/"), "\(flag)")
        for flag in ["-o", "-ofix.o", "-c", "-S", "-E", "-fsyntax-only"] {
            let error = try test.failure(Self.fix) { $0.compilerFlags = [flag] }
            #expect(error.code == "build.compiler-flag" && "\(error)".contains("'\(flag)'"))
        }
    }

    @Test func sourcesThatAreNone() throws {
        let test = try BuildCase(base: NameErrorTests.daemon)
        let text = try test.folder.write(Self.fix, to: "fix.txt")
        let source = try test.folder.write(Self.fix, to: "fix.c")
        for (sources, expected) in [
            ([test.folder.path], "folder"), ([test.base], "ELF file"),
            ([source, source], "named twice"), ([text], "suffix"),
        ] {
            let error = try test.failure(Self.fix) { $0.sources = sources }
            #expect(error.code == "build.source", "\(error)")
            #expect("\(error)".contains(expected), "\(error)")
            #expect("\(error)".contains("'\(sources[0])'"), "\(error)")
        }
    }

    /// What a fixed address would need cannot be linked into a process.
    @Test func flagsThatUndoPositionIndependenceDoNot() throws {
        let test = try BuildCase(base: NameErrorTests.daemon)
        let report = try test.build(
            "extern int hits; int check_request(int x) { return hits + x; }"
        ) { $0.compilerFlags = ["-fno-pic", "-O1", "-flto"] }
        #expect(report.baseSymbol("hits")?.isObject == true)
    }

    @Test func anOutputThatCannotBeWritten() throws {
        let test = try BuildCase(base: NameErrorTests.daemon)
        let error = try test.failure(Self.fix) {
            $0.output = test.folder.path.appending("absent").appending("fix.hpatch")
        }
        #expect("\(error)".contains("No such file"), "\(error)")
    }
}
