import Addresses
import Authoring
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// Patches that could be made and would not be safe.
@Suite struct RefusalTests {
    static let daemon = """
        int total;
        static volatile int level = 2;
        __thread int slot;
        __attribute__((noinline)) int work(int x) {
            static int calls;
            calls += x;
            total += calls;
            return total * level;
        }
        int main(int c, char **v) { (void)v; return work(c) + slot; }
        """

    @Test func whatTheFixMustNotBring() throws {
        let test = try BuildCase(base: Self.daemon)
        for (fix, code) in [
            ("static __thread int mine; int work(int x) { return mine += x; }", "thread-local"),
            (
                "int work(int x) { return x; } __attribute__((constructor)) void go(void) {}",
                "initialiser"
            ),
            (
                "int one(int x) { return x; } static void *pick(void) { return one; } "
                    + "int work(int x) __attribute__((ifunc(\"pick\")));",
                "indirect-function"
            ),
        ] {
            let error = try test.failure(fix)
            #expect(error.code == "build.\(code)" && error.isRefusal, "\(error)")
        }
    }

    @Test(arguments: ["gcc", "clang"])
    func variablesOfTheBaseAreNotDoubled(_ compiler: String) throws {
        let test = try BuildCase(base: Self.daemon, compiler: compiler)
        for (fix, name) in [
            ("int total; int work(int x) { return total += x; }", "total"),
            ("static int level = 3; int work(int x) { return level += x; }", "level"),
            ("int work(int x) { static int calls; return calls += x; }", "calls"),
        ] {
            let error = try test.failure(fix, compiler: compiler)
            #expect(error.code == "build.data-in-base" && error.isRefusal, "\(error)")
            #expect("\(error)".contains("'extern'"), "\(error)")
            #expect("\(error)".contains(name), "\(error)")
            guard case .dataInBase(let stem, _, _) = error else { continue }
            let report = try test.build(fix, compiler: compiler) { $0.newData = [stem] }
            #expect(report.patch.added.contains { $0.name.contains(name) })
            try test.output.remove()
        }
        // The compilers of base and fix name such variables differently.
        let other = compiler == "gcc" ? "clang" : "gcc"
        let crossed = try test.failure(
            "int work(int x) { static int calls; return calls += x; }", compiler: other)
        #expect(crossed.code == "build.data-in-base", "\(crossed)")
        // A variable of the base under its symbol's name.
        let symbol = compiler == "gcc" ? "calls.0" : "work.calls"
        let report = try test.build(
            "extern int calls __asm__(\"\(symbol)\"); int work(int x) { return calls += x; }",
            compiler: compiler)
        #expect(report.baseSymbol(symbol)?.isObject == true)
        // Constants are the fix's own.
        let constant = try test.build(
            "static const int level[3] = {9, 8, 7}; int work(int x) { return level[x & 1]; }",
            compiler: compiler)
        #expect(constant.patch.added.contains { $0.kind == .constant })
    }

    @Test func functionsWithoutRoomForADetour() throws {
        let test = try BuildCase(
            base: """
                __asm__(".globl tiny\\n.type tiny,@function\\ntiny: xor %eax, %eax\\n ret\\n"
                        ".size tiny, .-tiny\\n.globl next\\n.type next,@function\\nnext: nop\\n"
                        " mov $1, %eax\\n ret\\n.size next, .-next\\n");
                int tiny(void);
                int main(void) { return tiny(); }
                """)
        let error = try test.failure("int tiny(void) { return 1; }")
        #expect(error.code == "build.too-short" && error.isRefusal)
        #expect("\(error)".contains("a detour takes 5 bytes"), "\(error)")
    }

    @Test func implementationsChosenAtStart() throws {
        let test = try BuildCase(
            base: """
                static int one(int x) { return x + 1; }
                static void *pick(void) { return one; }
                int chosen(int x) __attribute__((ifunc("pick")));
                int main(int c, char **v) { (void)v; return chosen(c); }
                """)
        let error = try test.failure("int chosen(int x) { return x; }")
        #expect(error.code == "build.ifunc-resolver" && error.isRefusal, "\(error)")
    }

    @Test func namesOfOneFunction() throws {
        let test = try BuildCase(
            base: """
                __attribute__((noinline)) int work(int x) { return x * x + 7; }
                int labour(int x) __attribute__((alias("work")));
                int main(int c, char **v) { (void)v; return work(c) + labour(c); }
                """)
        let report = try test.build("int labour(int x) { return x; }")
        #expect(report.warnings.contains(.aliases(function: "labour", others: ["work"])))
        try test.output.remove()
        let error = try test.failure(
            "int labour(int x) { return x; } int work(int x) { return x + 1; }")
        #expect(error.code == "build.one-function", "\(error)")
    }

    /// Link-time optimisation renames what is local.
    @Test func renamedLocalNamesAreFound() throws {
        func source(_ tag: String) -> String {
            """
            volatile static int state = 1;
            __attribute__((noinline, noclone)) static int parse(int x) { state += x; return state * x; }
            int (*volatile use_\(tag))(int) = parse;
            """
        }
        let test = try BuildCase(
            sources: [
                ("first.c", source("first")), ("second.c", source("second")),
                (
                    "main.c",
                    "extern int (*volatile use_first)(int), (*volatile use_second)(int); "
                        + "int main(int c, char **v) { (void)v; return use_first(c) + use_second(c); }"
                ),
            ], flags: ["-O2", "-g", "-flto", "-fno-ipa-icf"])
        let names = try Command.run("nm", [test.base.string]).output
        try #require(names.contains("parse.lto_priv.0"), "\(names)")
        let error = try test.failure("int parse(int x) { return x; }")
        guard case .ambiguous("parse", _, let candidates) = error else {
            Issue.record("\(error)")
            return
        }
        let pick = Pick.address(candidates[0].address)
        let report = try test.build("int parse(int x) { return x; }") { $0.picks["parse"] = pick }
        #expect(try report.function("parse").range.start == candidates[0].address)
    }

    // MARK: - Copies

    static let inlined = """
        #include <stdio.h>
        volatile int seed;
        static inline int check(int x) { seed = x; puts("checked"); return x * seed + 3; }
        int (*volatile handler)(int) = check;
        __attribute__((noinline)) int first(int x) {
            return check(x) + 1;
        }
        __attribute__((noinline)) int second(int x) { return check(x) * 2; }
        int main(int c, char **v) { (void)v; return first(c) + second(c) + handler(c); }
        """

    @Test(arguments: ["gcc", "clang"])
    func inlinedCopiesAreTold(_ compiler: String) throws {
        let test = try BuildCase(base: Self.inlined, compiler: compiler)
        let fix = "extern volatile int seed; int check(int x) { return x * seed; }"
        let error = try test.failure(fix)
        guard case .copies("check", _, let copies) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(error.isRefusal)
        #expect(Set(copies.map(\.function)) == ["first", "second"])
        #expect(copies.allSatisfy { $0.kind == .inlined && $0.sourceFile == "daemon.c" })
        #expect(copies.contains { $0.line == 6 } && copies.contains { $0.line == 8 })
        #expect("\(error)".contains("--accept-copies"))

        let accepted = try test.build(fix) { $0.acceptCopies = true }
        #expect(try accepted.function("check").copies == .accepted(copies))
        #expect(accepted.warnings.contains(.copiesRemain(function: "check", count: 2)))

        // Replaced with it, the copies are gone.
        let whole = try test.build(
            """
            extern volatile int seed;
            int check(int x) { return x * seed; }
            int first(int x) { return check(x) + 1; }
            int second(int x) { return check(x) * 2; }
            """)
        #expect(try whole.function("check").copies == .none)
    }

    @Test func withoutDebugInformationNobodyKnows() throws {
        let test = try BuildCase(base: Self.inlined, flags: ["-O2"])
        let report = try test.build("int check(int x) { return x; }")
        #expect(try report.function("check").copies == .unknown(clones: []))
        #expect(
            report.warnings.contains(
                .copiesUnknown(function: "check", base: test.base.string)))
    }

    @Test func clonesAreTold() throws {
        let test = try BuildCase(
            base: """
                volatile int seed;
                __attribute__((noinline)) static int scale(int x, int by) {
                    int sum = 0;
                    for (int i = 0; i < by; i++) { sum += x * seed + i; if (by == 7) sum ^= seed; }
                    return sum;
                }
                int (*volatile handler)(int, int) = scale;
                int main(int c, char **v) {
                    (void)v;
                    int sum = 0;
                    for (int i = 0; i < c; i++) sum += scale(i, 7);
                    return sum + handler(c, c);
                }
                """,
            flags: ["-O3", "-g", "-fipa-cp-clone", "--param", "ipa-cp-eval-threshold=1"])
        let names = try Command.run("nm", [test.base.string]).output
        try #require(names.contains("scale.constprop"), "\(names)")
        let fix = "int scale(int x, int by) { return x * by; }"
        let error = try test.failure(fix)
        guard case .copies("scale", _, let copies) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(copies.contains { $0.kind == .clone && $0.function.hasPrefix("scale.constprop") })
        let report = try test.build(fix) { $0.acceptCopies = true }
        #expect(try report.function("scale").copies == .accepted(copies))
    }

    /// GCC inlines the first test of a function into its callers and moves the
    /// rest to a clone, which the function itself calls too.
    @Test func partsOfAFunctionThatOthersCallAreTold() throws {
        let test = try BuildCase(
            base: """
                #include <stdio.h>
                volatile int seed;
                int check(int x) {
                    if (x < 10) return 0;
                    for (int i = 0; i < x; i++) { seed += i; printf("%d\\n", seed); }
                    return seed;
                }
                int one(int x) { return check(x) + 1; }
                int main(int c, char **v) { (void)v; return one(c) + check(c + 1); }
                """)
        let names = try Command.run("nm", [test.base.string]).output
        try #require(names.contains("check.part.0"), "\(names)")
        let error = try test.failure("int check(int x) { return x; }")
        guard case .copies("check", _, let copies) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(copies.contains { $0.kind == .clone && $0.function == "check.part.0" })
        #expect(copies.contains { $0.kind == .inlined && $0.function == "one" })
        // With all of them replaced, nobody calls the clone any more.
        let report = try test.build(
            """
            int check(int x) { return x; }
            int one(int x) { return check(x) + 1; }
            int main(int c, char **v) { (void)v; return one(c) + check(c + 1); }
            """)
        #expect(try report.function("check").copies == .none)
    }

    /// Two static functions of one name: the copies of the other do not count.
    @Test func copiesOfANamesakeAreNotOurs() throws {
        let test = try BuildCase(sources: [
            (
                "first.c",
                """
                volatile int seed;
                static inline int check(int x) { return x * seed; }
                int (*volatile handler)(int) = check;
                int first(int x) { return handler(x); }
                """
            ),
            (
                "second.c",
                """
                extern volatile int seed;

                static inline int check(int x) { return x + seed; }
                int (*volatile other)(int) = check;
                int second(int x) { return check(x) + other(x); }
                """
            ),
            (
                "main.c",
                "int first(int), second(int); "
                    + "int main(int c, char **v) { (void)v; return first(c) + second(c); }"
            ),
        ])
        let fix = "int check(int x) { return x; }"
        let report = try test.build(fix) { $0.picks["check"] = .sourceFile("first.c") }
        #expect(try report.function("check").copies == .none)
        let error = try #require(throws: AuthoringError.self) {
            _ = try test.build(fix) { $0.picks["check"] = .sourceFile("second.c") }
        }
        #expect(error.code == "build.copies", "\(error)")
    }
}
