import Authoring
import PatchFile
import SystemPackage
import TestSupport
import Testing

/// Fixes that call what they replace (hotpatch.h).
@Suite struct OriginalTests {
    static let daemon = """
        __attribute__((noinline)) static int half(int x) { __asm__(""); return x / 2 + 1; }
        __attribute__((noinline)) int work(int x) { __asm__(""); return half(x) + half(x + 1); }
        int main(int c, char **v) { (void)v; return work(c); }
        """

    @Test(arguments: ["gcc", "clang"])
    func originalsAreListed(_ compiler: String) throws {
        let test = try BuildCase(base: Self.daemon, compiler: compiler)
        let report = try test.build(
            """
            #include <hotpatch.h>
            static int half(int x) { return HOTPATCH_ORIGINAL(half)(x) * 2; }
            int (*before)(int);
            int work(int x) {
                before = HOTPATCH_ORIGINAL(work);
                return HOTPATCH_ORIGINAL(half)(x) + half(x) + before(x);
            }
            """, compiler: compiler
        ) { $0.compilerFlags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"] }
        #expect(try report.function("half").callsOriginal)
        #expect(try report.function("work").callsOriginal)
        #expect(report.manifest.baseSymbols.isEmpty)
        let one = try test.build("int work(int x) { return x; }", compiler: compiler)
        #expect(try report.function("work").range == one.function("work").range)
        #expect(try !one.function("work").callsOriginal)
    }

    @Test func onlyWhatIsReplacedHasAnOriginal() throws {
        let test = try BuildCase(base: Self.daemon)
        let fix = """
            #include <hotpatch.h>
            int half(int), other(int);
            int work(int x) { return HOTPATCH_ORIGINAL(NAME)(x); }
            """
        let known = try test.failure(fix) { $0.compilerFlags = ["-DNAME=half"] }
        #expect(known.code == "build.original-not-replaced", "\(known)")
        #expect("\(known)".contains("call it by its name"))
        let unknown = try test.failure(fix) { $0.compilerFlags = ["-DNAME=other"] }
        #expect("\(unknown)".contains("no such function"), "\(unknown)")
    }

    @Test func originalThatComesBackToItsEntryIsRefused() throws {
        let test = try BuildCase(
            base: """
                __asm__(".globl count\\n.type count,@function\\ncount: lea (%rdi,%rdi), %eax\\n"
                    "dec %edi\\n nop\\n nop\\n jne count\\n ret\\n.size count,.-count\\n.p2align 4\\n");
                int count(int);
                int main(int c, char **v) { (void)v; return count(c); }
                """)
        let fix = "#include <hotpatch.h>\nint count(int x) { return CALL(x); }"
        let error = try test.failure(fix) {
            $0.compilerFlags = ["-DCALL(x)=HOTPATCH_ORIGINAL(count)(x)"]
        }
        #expect(error.code == "build.original-jumps-to-entry" && error.isRefusal, "\(error)")
        #expect("\(error)".contains("count+0x"), "\(error)")
        _ = try test.build(fix) { $0.compilerFlags = ["-DCALL(x)=x"] }
    }

    /// What the original has inlined runs on when the fix calls the original.
    @Test func copiesInOriginalsThatAreCalledRemain() throws {
        let test = try BuildCase(
            base: """
                static int limit(int x) { return x > 9 ? 9 : x; }
                __attribute__((noinline)) int work(int x) { __asm__(""); return limit(x) + 1; }
                int (*volatile pointer)(int) = limit;
                int main(int c, char **v) { (void)v; return work(c) + pointer(c); }
                """)
        let fix = """
            #include <hotpatch.h>
            int limit(int x) { return x > 5 ? 5 : x; }
            int work(int x) { return CALL(x) + 1; }
            """
        _ = try test.build(fix) { $0.compilerFlags = ["-DCALL=limit"] }
        try test.output.remove()
        let error = try test.failure(fix) {
            $0.compilerFlags = ["-DCALL=HOTPATCH_ORIGINAL(work)"]
        }
        #expect(error.code == "build.copies", "\(error)")
        #expect("\(error)".contains("inlined in 'work'"), "\(error)")
    }

    /// A base without any function that keeps registers for its own calls would
    /// not notice: the original calls itself, and relies on what it leaves alone.
    @Test func originalsThatAreCalledCountAsCallers() throws {
        let test = try BuildCase(
            base: """
                __asm__(".globl fall\\n.type fall,@function\\nfall: test %edi, %edi\\n mov %edi, %eax\\n"
                    "je 1f\\n dec %edi\\n call fall\\n add %r10d, %eax\\n 1: ret\\n"
                    ".size fall,.-fall\\n.p2align 4\\n");
                extern int (*volatile pointer)(int);
                int fall(int);
                int (*volatile pointer)(int) = fall;
                int main(int c, char **v) { (void)v; return pointer(c); }
                """)
        let fix = """
            #include <hotpatch.h>
            int puts(const char *);
            int fall(int x) { puts("fall"); return CALL(x); }
            """
        let without = try test.build(fix) { $0.compilerFlags = ["-DCALL(x)=x"] }
        #expect(try without.function("fall").contract == nil)
        let with = try test.build(fix) {
            $0.compilerFlags = ["-DCALL(x)=HOTPATCH_ORIGINAL(fall)(x)"]
        }
        #expect(try with.function("fall").contract?.preserve.contains(.r10) == true)
    }
}
