import ELFImage
import Patchability
import SystemPackage
import TestSupport
import Testing

@testable import Authoring

/// What is read out of machine code, function by function.
@Suite struct CodeAnalysisTests {
    private static func code(_ source: String, _ flags: [String]) throws -> FixCode {
        let folder = try TemporaryDirectory()
        let file = try folder.write(source, to: "code.c")
        let object = folder.path.appending("code.o")
        try Fixture.compile(
            source: file, to: object, flags: ["-c", "-fPIC", "-ffunction-sections"] + flags)
        return try FixCode(.open(path: object))
    }

    private static func effects(
        of name: String = "f", _ source: String, _ flags: [String] = ["-O2"],
        bound: CodeEffects.Bound
    ) throws -> CodeEffects {
        let code = try code(source, flags)
        let function = try #require(code.function(named: name))
        return CodeEffects(of: function, in: code, bound: bound, decoder: try FunctionDecoder())
    }

    // MARK: - Arguments on the stack

    static let eight = "long a, long a2, long a3, long a4, long a5, long a6, long a7, long i"

    static let stackCases: [(source: String, flags: [String], expected: Bool)] = [
        ("long f(\(eight)) { return a + i; }", ["-O2"], true),
        ("long f(\(eight)) { return a + i; }", ["-O0"], true),
        ("long f(\(eight)) { return a + i; }", ["-O2", "-fno-omit-frame-pointer"], true),
        ("long f(\(eight)) { return a + a2; }", ["-O2"], false),
        ("long f(long a, long b) { return a + b; }", ["-O0"], false),
        // A frame of many pages, probed in a loop.
        (
            "int g(char *); int f(int x) { char b[100000]; return g(b) + x; }",
            ["-O2", "-fstack-clash-protection"], false
        ),
        (
            "int g(char *); long f(\(eight)) { char b[100000]; return g(b) + i; }",
            ["-O2", "-fstack-clash-protection"], true
        ),
        // alloca: only the frame pointer tells the way.
        ("int g(char *); int f(int x) { char b[x]; return g(b) + x; }", ["-O2"], false),
        (
            "int g(char *); long f(\(eight)) { char b[a]; return g(b) + i; }", ["-O2"], true
        ),
        // A jump table in the middle.
        (
            "int g(int); int f(int x) { int r[4] = {1, 2, 3, x}; g(1); switch (x) { "
                + "case 0: return g(r[x]); case 1: return g(4); case 2: return g(r[1]) * 3; "
                + "case 3: return 6; case 4: return g(5) + 1; case 5: return x * x; } return 9; }",
            ["-O2"], false
        ),
        (
            "int g(int); long f(\(eight)) { switch (a) { case 0: return g(1); "
                + "case 1: return g(4) * 2; case 2: return g(2) * 3; case 3: return i; "
                + "case 4: return g(5) + 1; case 5: return a * a; } return 9; }", ["-O2"], true
        ),
        (
            "#include <stdarg.h>\nint f(int n, ...) { va_list l; va_start(l, n); "
                + "int r = va_arg(l, int); va_end(l); return r; }", ["-O2"], true
        ),
        (
            "int g(int, int, int, int, int, int, int); int f(int x) { "
                + "return g(x, 2, 3, 4, 5, 6, 7) + 1; }", ["-O2"], false
        ),
    ]

    @Test(arguments: stackCases.indices, ["gcc", "clang"])
    func stackArguments(_ index: Int, _ compiler: String) throws {
        let (source, flags, expected) = Self.stackCases[index]
        let folder = try TemporaryDirectory()
        let file = try folder.write(source, to: "code.c")
        let object = folder.path.appending("code.o")
        let compile = try Command.run(
            compiler, [file.string, "-c", "-fPIC", "-o", object.string] + flags)
        try #require(compile.succeeded, "\(compile.errorOutput)")
        let code = try FixCode(.open(path: object))
        let function = try #require(code.function(named: "f"))
        let found = StackArguments.areUsed(
            by: function, in: code, decoder: try FunctionDecoder())
        #expect(found == expected, "\(source) \(flags)")
    }

    // MARK: - Bounds

    @Test func calleesInTheSameCodeCount() throws {
        let source = """
            __attribute__((noinline)) static int g(int x) { __asm__("" ::: "r9", "xmm7"); return x; }
            __attribute__((noinline)) static int h(int x) {
                __asm__("mov $1, %%r10d\\n pxor %%xmm5, %%xmm5" ::: "r10", "xmm5");
                return g(x) + 1;
            }
            int f(int x) { return h(x) + 2; }
            """
        for bound in [CodeEffects.Bound.atLeast, .atMost] {
            let effects = try Self.effects(source, bound: bound)
            #expect(effects.changes.contains(RegisterSet(.r(10))))
            #expect(effects.changes.contains(RegisterSet(.xmm(5))))
            #expect(effects.changes.contains(RegisterSet(.rax)))
            #expect(!effects.changes.contains(RegisterSet(.rsi)))
            #expect(!effects.changes.contains(RegisterSet(.xmm(0))))
        }
    }

    @Test func whatIsElsewhereMayChangeEverything() throws {
        let source = "int g(int); int f(int x) { return g(x) + 1; }"
        for bound in [CodeEffects.Bound.atLeast, .atMost] {
            let effects = try Self.effects(source, bound: bound)
            #expect(effects.changes == .callerSaved)
            #expect(effects.needsAlignedStack)
        }
    }

    @Test func anIndirectJumpIsCountedOnlyAsAPossibility() throws {
        let source = "int f(int x) { __asm__ goto(\"jmp *%%rax\" :::: out); out: return x; }"
        #expect(try Self.effects(source, bound: .atMost).changes == .callerSaved)
        #expect(try Self.effects(source, bound: .atLeast).changes != .callerSaved)
    }

    @Test func implicitRegistersCount() throws {
        let source =
            "void f(char *p, long n) { __asm__ volatile(\"rep stosb\" "
            + ": \"+D\"(p), \"+c\"(n) : \"a\"(0) : \"memory\"); }"
        let effects = try Self.effects(source, bound: .atMost)
        #expect(effects.changes.contains(RegisterSet(.rdi)))
        #expect(effects.changes.contains(RegisterSet(.rcx)))
    }

    @Test func aStackThatIsAlignedHereNeedsNoAlignment() throws {
        let source = """
            int g(char *);
            int f(int x) { char b[64] __attribute__((aligned(64))); return g(b) + x; }
            """
        #expect(try !Self.effects(source, bound: .atLeast).needsAlignedStack)
    }

    @Test func onlyVectorExtensionsChangeUpperHalves() throws {
        let source = "typedef float v __attribute__((vector_size(16))); v f(v a) { return a + a; }"
        let plain = try Self.effects(source, ["-O2", "-mno-avx"], bound: .atMost)
        #expect(plain.changesUpperHalves.isEmpty && plain.changes.contains(RegisterSet(.xmm(0))))
        let extended = try Self.effects(source, ["-O2", "-mavx"], bound: .atMost)
        #expect(extended.changesUpperHalves.contains(RegisterSet(.xmm(0))))
    }

    // MARK: - Return types

    static let returnCases: [(type: String, value: String, registers: RegisterSet)] = [
        ("void", "", []),
        ("int", "1", RegisterSet(.rax)),
        ("char *", "0", RegisterSet(.rax)),
        ("__int128", "1", [RegisterSet(.rax), RegisterSet(.rdx)]),
        ("double", "1", RegisterSet(.xmm(0))),
        ("long double", "1", .x87),
        ("_Complex double", "1", [RegisterSet(.xmm(0)), RegisterSet(.xmm(1))]),
        ("_Complex float", "1", RegisterSet(.xmm(0))),
        ("struct { long a, b; }", "{1}", [RegisterSet(.rax), RegisterSet(.rdx)]),
        ("struct { double a, b; }", "{1}", [RegisterSet(.xmm(0)), RegisterSet(.xmm(1))]),
        ("struct { double a; long b; }", "{1}", [RegisterSet(.xmm(0)), RegisterSet(.rax)]),
        ("struct { float a, b, c; }", "{1}", [RegisterSet(.xmm(0)), RegisterSet(.xmm(1))]),
        ("struct { float a; int b; }", "{1}", RegisterSet(.rax)),
        ("struct { long a[3]; }", "{{1}}", RegisterSet(.rax)),
        ("union { double a; long b; }", "{1}", RegisterSet(.rax)),
        ("struct { char a[9]; }", "{{1}}", [RegisterSet(.rax), RegisterSet(.rdx)]),
    ]

    @Test(arguments: returnCases.indices, ["gcc", "clang"])
    func returnRegisters(_ index: Int, _ compiler: String) throws {
        let (type, value, registers) = Self.returnCases[index]
        let body = value.isEmpty ? "" : "t r = \(value); return r;"
        let folder = try TemporaryDirectory()
        let file = try folder.write("typedef \(type) t; t f(void) { \(body) }", to: "code.c")
        let object = folder.path.appending("code.o")
        let compile = try Command.run(
            compiler, [file.string, "-c", "-g", "-O1", "-fPIC", "-o", object.string])
        try #require(compile.succeeded, "\(compile.errorOutput)")
        let function = try #require(DebugInformation(of: object, names: ["f"]).functions.first)
        #expect(function.returns == .known(registers), "\(type)")
    }
}
