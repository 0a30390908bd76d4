import Addresses
import ELFImage
import Patchability
import SystemPackage
import TestSupport
import Testing

@testable import PatchLinker

/// A library in whose file every function that can be called when it is replaced
/// has a detour, which leads to nothing but its own moved entry.
struct LibraryRewrite {
    /// How many functions have one.
    private(set) var count = 0
    private(set) var bytes: [UInt8]
    private let image: ELFImage
    /// What the detours lead to, mapped at `start`.
    private var code: [UInt8] = []
    private let start: UInt64

    init(of path: FilePath) throws {
        image = try ELFImage.open(path: path)
        bytes = try path.bytes()
        let ends = image.segments.compactMap { $0.type == .load ? $0.range?.end.rawValue : nil }
        start = (try #require(ends.max()) + 0xffff) & ~0xffff
        let catalog = try FunctionCatalog(image)
        let calls = try OriginalCalls(catalog)
        for function in catalog where calls.verdict(of: function) == .callable {
            guard let site = function.verdict.site else { continue }
            try lead(site)
        }
        try mapCode()
    }

    private mutating func lead(_ site: Site) throws {
        let section = try #require(image.section(at: site.address))
        let offset = Int(site.address.rawValue - section.address.rawValue)
        let original = try image.bytes(of: section)
        let entry = original.slice(offset, min(30, original.count - offset))?.array() ?? []
        let moved = try MovedEntry(code: entry, covering: Int(site.size))
        code += [UInt8](repeating: 0xcc, count: -code.count & 15)
        let place = start + UInt64(code.count)
        code += try #require(
            moved.code(
                at: RemoteAddress(rawValue: place),
                movedFrom: RemoteAddress(rawValue: site.address.rawValue)))
        if let island = site.island {
            let distance = island.rawValue &- site.address.rawValue &- Site.shortJumpSize
            try write([0xeb, UInt8(truncatingIfNeeded: distance)], at: site.address)  // jmp rel8
        }
        let jump = site.island ?? site.address
        let displacement = try #require(
            Rel32(from: jump, length: Site.jumpSize, to: LinkAddress(rawValue: place)))
        try write([0xe9] + displacement.bytes, at: jump)  // jmp rel32
        count += 1
    }

    private mutating func write(_ new: [UInt8], at address: LinkAddress) throws {
        let section = try #require(image.section(at: address))
        let offset = Int(section.offset.rawValue + address.rawValue - section.address.rawValue)
        bytes.replaceSubrange(offset..<offset + new.count, with: new)
    }

    /// Makes of the program header of the notes, which nobody reads, one that maps
    /// the code (gABI, "Program Header").
    private mutating func mapCode() throws {
        let headers = Int(word(at: 32))
        let count = Int(word(at: 56) & 0xffff)
        let note = try #require(
            (0..<count).map { headers + $0 * 56 }.first { word(at: $0) & 0xffff_ffff == 4 })
        bytes += [UInt8](repeating: 0, count: -bytes.count & 4095)
        let size = UInt64(code.count)
        // p_type LOAD and p_flags R|X, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz,
        // p_align.
        let header: [UInt64] = [1 | 5 << 32, UInt64(bytes.count), start, start, size, size, 4096]
        for (index, value) in header.enumerated() {
            bytes.replaceSubrange(
                note + index * 8..<note + index * 8 + 8, with: PayloadHeader.littleEndian(value))
        }
        bytes += code
    }

    private func word(at offset: Int) -> UInt64 {
        bytes[offset..<offset + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// Originals that are called all the time, in a library that nobody here wrote.
@Suite struct LibraryRewriteTests {
    /// Sorts, computes, formats, compiles: with children, files, locales, floating
    /// point and exceptions of C++ on the way.
    private static let load = """
        seq 1 30000 | sort -R --random-source=/bin/sh | sort -n -k1.3 | tail -n 1000 | od -An -tx2 \\
            | awk '{ s += length($0) * NR; printf "%08.3f %s\\n", s / 7, toupper($3) }' | cksum
        find "$0" -name '*.c' | sort | xargs grep -c return | cksum
        date -u -d @86400000 '+%A %d %B %Y %H:%M:%S'; printf '%d %x %o %e %s\\n' 12 255 8 1.5e100 text
        echo 'int f(int x) { return x * 3 + 1; } const char *g(void) { return __DATE__; }' \\
            | SOURCE_DATE_EPOCH=0 gcc -O2 -g -S -o - -x c - | cksum
        gcc -x c -fsyntax-only - 2>&1 <<<'int f(void) { return y; }'; echo "code $?"
        """

    @Test func theCLibraryWorksThroughItsMovedEntries() throws {
        let rewritten = try LibraryRewrite(of: "/lib/x86_64-linux-gnu/libc.so.6")
        #expect(rewritten.count > 2000)
        let directory = try TemporaryDirectory()
        try directory.path.appending("libc.so.6")
            .write(rewritten.bytes, permissions: [.ownerReadWriteExecute])
        let arguments = ["-c", Self.load, Fixture.sources.string]
        let plain = try Command.run("bash", arguments)
        #expect(plain.succeeded && plain.output.contains("code 1"))
        let moved = try Command.run(
            "bash", arguments, environment: ["LD_LIBRARY_PATH": directory.path.string])
        #expect(moved.exit == plain.exit)
        #expect(moved.output == plain.output)
        #expect(moved.errorOutput == plain.errorOutput)
    }
}
