import Addresses
import PatchFile
import SystemPackage
import TestSupport

/// Objects of patches, compiled for the tests, and manifests that fit them.
enum PatchFixture {
    /// A replacement that uses a helper, a string, data of its own, a variable
    /// and a thread-local variable of the base, and a library's function.
    static let source = """
        extern int puts(const char *);
        extern int base_counter;
        extern __thread int base_slot;
        static int calls;
        static int helper(int x) { calls += x; return calls; }
        int (*table[])(int) = { helper };
        int target(int x) { puts("patched"); base_slot = x; return table[x & 0](x) + base_counter; }
        """

    /// The bytes of `source` compiled to a relocatable object.
    static func object(
        _ source: String = source, flags: [String] = [], name: String = "fix.c"
    ) throws -> [UInt8] {
        let folder = try TemporaryDirectory()
        let file = try folder.write(source, to: name)
        let output = folder.path.appending("fix.o")
        try Fixture.compile(
            source: file, to: output,
            flags: [
                "-c", "-fPIC", "-O1", "-ffunction-sections", "-ftls-model=initial-exec",
                "-fcf-protection=none",
            ] + flags)
        return try output.bytes()
    }

    static func range(_ start: UInt64, _ count: UInt64) -> AddressRange<LinkAddress> {
        AddressRange(start: LinkAddress(rawValue: start), count: count)
            ?? AddressRange(empty: LinkAddress(rawValue: start))
    }

    static func function(
        _ symbol: String = "target", at start: UInt64 = 0x1140, size: UInt64 = 16
    ) -> ReplacedFunction {
        ReplacedFunction(
            symbol: symbol, sourceFile: "daemon.c", range: range(start, size),
            fragments: [range(0x1040, 8)], site: LinkAddress(rawValue: start + 4),
            original: Array(repeating: 0x90, count: Int(size)), replacement: "target",
            contract: EntryContract(preserve: [.rdi, .xmm3, .flags], alignStack: true),
            copies: .accepted([
                RemainingCopy(
                    kind: .inlined, function: "main", address: LinkAddress(rawValue: 0x1200),
                    sourceFile: "daemon.c", line: 12)
            ]))
    }

    static let frameRegistry = ImportedSymbol(
        name: FrameRegistry.functionName, version: "GCC_3.0", library: "libgcc_s.so.1",
        kind: .function, weak: false)

    static func manifest() -> PatchManifest {
        PatchManifest(
            name: "fix-1", version: "1.2", description: "Says \"patched\".",
            references: ["CVE-2024-0001"],
            base: Base(
                identity: .buildID([0xde, 0xad]), fileName: "daemon",
                kind: .positionIndependentExecutable),
            functions: [function()],
            baseSymbols: [
                BaseSymbol(
                    name: "base_counter", location: .object(LinkAddress(rawValue: 0x4010)), size: 4),
                BaseSymbol(name: "base_slot", location: .threadLocal(offset: 8), size: 4),
            ],
            imports: [
                ImportedSymbol(
                    name: "puts", version: "GLIBC_2.2.5", library: "libc.so.6", kind: .function,
                    weak: false)
            ])
    }
}

extension AddressRange<LinkAddress> {
    init(empty start: LinkAddress) {
        self = Self.init(start: start, count: 0) ?? .init(empty: LinkAddress(rawValue: 0))
    }
}
