import Addresses
import Authoring
import PatchFile
import Patchability
import TestSupport
import Testing

/// What GCC's -fipa-ra told the callers of a local function is kept or refused.
@Suite struct ContractTests {
    /// At plain -O2 GCC keeps all of the caller's values in registers across the
    /// call of `leaf`, and calls it with a stack that is not aligned.
    static let daemon = """
        #include <stdio.h>
        volatile int seed = 3;
        __attribute__((noinline)) static int leaf(int x) { return x * 3 + 1; }
        __attribute__((noinline)) static double same(double x) { return x; }
        __attribute__((noinline)) static int talks(int x) { return printf("%d", x); }
        __attribute__((noinline)) int caller(int a, int b, int c, int d) {
            int p = a * 7, q = b ^ 5, r = c + 11, s = d * d;
            int l = leaf(a);
            return l + p + q + r + s;
        }
        __attribute__((noinline)) double user(double a, double b) { return same(a) * b + a; }
        __attribute__((noinline)) int speaker(int a, int b) { return talks(a) * b; }
        int main(int argc, char **argv) {
            (void)argv;
            return caller(seed, seed, seed, argc) + (int)user(seed, argc) + speaker(seed, argc);
        }
        """

    private func contract(
        _ name: String, _ fix: String, base: String = daemon, flags: [String] = ["-O2", "-g"]
    ) throws -> EntryContract? {
        try BuildCase(base: base, flags: flags).build(fix).function(name).contract
    }

    @Test func theCallersRegistersAndTheStackAreKept() throws {
        let found = try contract(
            "leaf",
            """
            #include <stdio.h>
            int leaf(int x) { char b[32]; snprintf(b, sizeof b, "%d", x); return b[0]; }
            """)
        let contract = try #require(found)
        #expect(contract.alignStack)
        for register in [KeptRegister.rdi, .rsi, .rdx, .rcx, .r8, .xmm0, .xmm15, .flags] {
            #expect(contract.preserve.contains(register))
        }
        // The result, which the original sets too.
        #expect(!contract.preserve.contains(.rax))
    }

    /// Only what the replacement changes: nothing here that the original does not.
    @Test func aReplacementThatChangesNoMoreNeedsNoThunk() throws {
        #expect(try contract("leaf", "int leaf(int x) { return x * 3 + 2; }") == nil)
    }

    @Test func aReplacementThatChangesALittleMoreKeepsALittle() throws {
        let found = try contract(
            "leaf", "extern volatile int seed; int leaf(int x) { return seed + x * (seed - 7); }")
        let contract = try #require(found)
        #expect(!contract.alignStack)
        #expect(contract.preserve.contains(.flags))
        #expect(!contract.preserve.contains(.xmm0) && !contract.preserve.contains(.rax))
        #expect(!contract.preserve.contains(.r11))
    }

    @Test func anOriginalThatCallsOthersPromisesNothing() throws {
        #expect(
            try contract(
                "talks",
                "#include <stdio.h>\nint talks(int x) { puts(\"x\"); return printf(\"%d!\", x); }")
                == nil)
    }

    /// `same` is a lone `ret`: what it returns it was given. The result must get
    /// out all the same.
    @Test func theResultIsNotKept() throws {
        let found = try contract(
            "same",
            "#include <stdio.h>\ndouble same(double x) { puts(\"same\"); return x + 1; }")
        let contract = try #require(found)
        #expect(!contract.preserve.contains(.xmm0))
        #expect(contract.preserve.contains(.xmm1) && contract.preserve.contains(.rax))
    }

    @Test func withoutDirectCallersThereIsNoContract() throws {
        let base = """
            __attribute__((noinline)) static int leaf(int x) { return x * 3 + 1; }
            int (*volatile handler)(int) = leaf;
            int main(int c, char **v) { (void)v; return handler(c); }
            """
        let fix = "#include <stdio.h>\nint leaf(int x) { return puts(\"x\") + x; }"
        #expect(try contract("leaf", fix, base: base) == nil)
    }

    @Test func callersThatAreReplacedTooDoNotCount() throws {
        let fix = """
            #include <stdio.h>
            int leaf(int x) { return puts("x") + x; }
            int caller(int a, int b, int c, int d) { return leaf(a) + b + c + d; }
            """
        #expect(try contract("leaf", fix) == nil)
    }

    /// `middle` ends in a jump to `leaf`, so the callers of `middle` keep values
    /// across `leaf` as well.
    @Test func whoJumpsPassesTheContractOn() throws {
        let base = """
            volatile int seed = 3;
            __attribute__((noinline)) static int leaf(int x) { return x * 3 + 1; }
            __attribute__((noinline)) static int middle(int x) { return leaf(x + 4); }
            __attribute__((noinline)) int caller(int a, int b) {
                int p = a * 7, q = b ^ 5;
                return middle(a) + p + q;
            }
            int main(int c, char **v) { (void)v; return caller(seed, c); }
            """
        let fix = """
            #include <stdio.h>
            int leaf(int x) { return puts("x") + x; }
            int middle(int x) { return leaf(x + 5); }
            """
        // `middle` is replaced, its caller is not.
        let report = try BuildCase(base: base).build(fix)
        #expect(try report.function("middle").contract?.preserve.contains(.rsi) == true)
        #expect(try report.function("leaf").contract == nil)
        let leafOnly = try BuildCase(base: base).build(
            "#include <stdio.h>\nint leaf(int x) { return puts(\"x\") + x; }")
        #expect(try leafOnly.function("leaf").contract?.preserve.contains(.rsi) == true)
    }

    // MARK: - No thunk can help

    private func obstacle(
        base: String, fix: String, flags: [String]
    ) throws -> ContractObstacle? {
        let error = try BuildCase(base: base, flags: flags).failure(fix)
        guard case .contract(_, _, let obstacle) = error else {
            Issue.record("\(error)")
            return nil
        }
        #expect(error.isRefusal)
        #expect("\(error)".contains("caller") && "\(error)".contains("into the fix too"))
        return obstacle
    }

    @Test func argumentsOnTheStack() throws {
        let list = (0..<8).map { "int x\($0)" }.joined(separator: ", ")
        let base = """
            volatile int seed = 3;
            __attribute__((noinline, noclone)) static int leaf(\(list)) {
                return x0 * 3 + x1 + x2 + x3 + x4 + x5 + x6 + x7;
            }
            __attribute__((noinline)) int caller(int a, int b) {
                return leaf(a, b, a, b, a, b, a, b) + a * b;
            }
            int main(int c, char **v) { (void)v; return caller(seed, c); }
            """
        let found = try obstacle(
            base: base,
            fix: "#include <stdio.h>\nint leaf(\(list)) { return printf(\"%d%d\", x0, x7); }",
            flags: ["-O2", "-g"])
        guard case .stackArguments(_, let caller)? = found else {
            Issue.record("\(String(describing: found))")
            return
        }
        #expect(caller.function == "caller")
    }

    @Test func wideVectors() throws {
        let base = """
            #include <immintrin.h>
            volatile int seed = 3;
            __attribute__((noinline)) static int leaf(int x) { return x * 3 + 1; }
            __attribute__((noinline)) __m256 caller(__m256 a, int b) {
                return _mm256_add_ps(a, _mm256_set1_ps((float)leaf(b)));
            }
            int main(int c, char **v) {
                (void)v;
                __m256 r = caller(_mm256_set1_ps((float)seed), c);
                return (int)r[0];
            }
            """
        let found = try obstacle(
            base: base, fix: "#include <stdio.h>\nint leaf(int x) { return puts(\"x\") + x; }",
            flags: ["-O2", "-g", "-mavx2"])
        guard case .wideVectors(_, let caller)? = found else {
            Issue.record("\(String(describing: found))")
            return
        }
        #expect(caller.function == "caller")
    }

    @Test func floatingPointStack() throws {
        let base = """
            volatile int seed = 3;
            __attribute__((noinline)) static int leaf(int x) { return x * 3 + 1; }
            __attribute__((noinline)) long double caller(long double a, int b) {
                return a * leaf(b);
            }
            int main(int c, char **v) { (void)v; return (int)caller(seed, c); }
            """
        let found = try obstacle(
            base: base, fix: "#include <stdio.h>\nint leaf(int x) { return puts(\"x\") + x; }",
            flags: ["-O2", "-g"])
        guard case .floatingPointStack? = found else {
            Issue.record("\(String(describing: found))")
            return
        }
    }
}
