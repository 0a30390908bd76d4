import Addresses
import Glibc
import JSONText
import SystemPackage
import TestSupport
import Testing

@testable import PatchFile

@Suite struct PatchFileTests {
    @Test func aPatchIsReadAsItWasWritten() throws {
        let manifest = PatchFixture.manifest()
        let made = try PatchFile.make(
            object: try PatchFixture.object(), manifest: manifest, name: "fix.hpatch")
        #expect(made.patch.manifest == manifest)
        #expect(made.patch.digest.count == 32)

        let folder = try TemporaryDirectory()
        let path = folder.path.appending("fix.hpatch")
        try PatchFile.write(made.bytes, to: path)
        let read = try PatchFile.read(path: path)
        #expect(read.manifest == manifest)
        #expect(read.digest == made.patch.digest)
        // The tools that people have open it.
        let readelf = try Command.run("readelf", ["-W", "-S", path.string])
        #expect(readelf.succeeded && readelf.output.contains(".hotpatch.manifest"))
        #expect(readelf.errorOutput == "")
    }

    @Test func equalInputGivesEqualBytes() throws {
        let object = try PatchFixture.object()
        let first = try PatchFile.make(
            object: object, manifest: PatchFixture.manifest(), name: "a")
        let second = try PatchFile.make(
            object: object, manifest: PatchFixture.manifest(), name: "b")
        #expect(first.bytes == second.bytes)
    }

    @Test func clangObjectsWithOneStringTableWork() throws {
        let folder = try TemporaryDirectory()
        let source = try folder.write(PatchFixture.source, to: "fix.c")
        let output = folder.path.appending("fix.o")
        let clang = try Command.run(
            "clang",
            [
                "-c", "-fPIC", "-O1", "-ftls-model=initial-exec", source.string, "-o",
                output.string,
            ])
        try #require(clang.succeeded, "\(clang.errorOutput)")
        let made = try PatchFile.make(
            object: try output.bytes(), manifest: PatchFixture.manifest(),
            name: "fix.hpatch")
        #expect(made.patch.manifest == PatchFixture.manifest())
    }

    @Test func everyFormOfManifestSurvives() throws {
        var manifest = PatchFixture.manifest()
        manifest.base.identity = .contentDigest(Array(repeating: 7, count: 32))
        manifest.base.kind = .sharedObject
        manifest.functions[0].contract = nil
        manifest.functions[0].sourceFile = nil
        manifest.functions[0].copies = .unknown(clones: [
            RemainingCopy(
                kind: .clone, function: "target.constprop.0", address: LinkAddress(rawValue: 1))
        ])
        manifest.baseSymbols[0].location = .indirectFunction(LinkAddress(rawValue: .max))
        manifest.imports[0] = ImportedSymbol(
            name: "puts", version: nil, library: nil, kind: .indirectFunction, weak: true)
        let made = try PatchFile.make(
            object: try PatchFixture.object(), manifest: manifest, name: "fix.hpatch")
        #expect(made.patch.manifest == manifest)
        manifest.functions[0].copies = .none
        manifest.baseSymbols[0].location = .function(LinkAddress(rawValue: 0))
        manifest.runsOnce = RunsOnce(
            registries: [
                .base(LinkAddress(rawValue: 0x1234)), .imported(PatchFixture.frameRegistry),
            ], callbacks: ["helper"])
        let again = try PatchFile.make(
            object: try PatchFixture.object(), manifest: manifest, name: "fix.hpatch")
        #expect(again.patch.manifest == manifest)
    }

    @Test func aFailedWriteLeavesNothing() throws {
        let folder = try TemporaryDirectory()
        let place = folder.path.appending("missing").appending("fix.hpatch")
        #expect(throws: PatchFileError.self) { try PatchFile.write([1, 2, 3], to: place) }
        // A folder of that name can be made, but not replaced by a file.
        let taken = folder.path.appending("taken.hpatch")
        try #require(unsafe mkdir(taken.string, 0o700) == 0)
        #expect(throws: PatchFileError.self) { try PatchFile.write([1, 2, 3], to: taken) }
        let listing = try Command.run("ls", ["-A", folder.path.string])
        #expect(listing.output == "taken.hpatch\n")
    }

    @Test(arguments: [
        ("/nonexistent/x.hpatch", "cannot open"), ("/tmp", "not a regular file"),
        ("/dev/null", "not a regular file"), ("/etc/passwd", "not an ELF object"),
        ("/bin/true", "without the section .hotpatch.manifest"),
    ])
    func otherFilesAreNamedForWhatTheyAre(_ path: String, _ expected: String) throws {
        let error = try #require(throws: PatchFileError.self) {
            try PatchFile.read(path: FilePath(path))
        }
        #expect("\(error)".contains(expected), "\(error)")
        #expect("\(error)".contains(path))
    }

    @Test func truncatedFilesAreErrors() throws {
        let made = try PatchFile.make(
            object: try PatchFixture.object(), manifest: PatchFixture.manifest(), name: "fix")
        for length in stride(from: 0, to: made.bytes.count, by: 7) {
            #expect(throws: PatchFileError.self) {
                try PatchFile(bytes: Array(made.bytes[..<length]), name: "fix")
            }
        }
    }

    /// Deterministic mutations of the file's bytes: an error or a patch, never a trap.
    @Test func mutatedFilesNeverTrap() throws {
        let seed = try PatchFile.make(
            object: try PatchFixture.object(), manifest: PatchFixture.manifest(), name: "fix"
        ).bytes
        var random = Random(state: 0x5EED)
        var refused = 0
        for _ in 0..<4_000 {
            var bytes = seed
            for _ in 0..<(1 + random.next(4)) {
                // The headers at both ends are where the format is decided.
                let at =
                    switch random.next(3) {
                    case 0: random.next(64)
                    case 1: bytes.count - 1 - random.next(min(1_600, bytes.count))
                    default: random.next(bytes.count)
                    }
                bytes[at] = random.interestingByte(besides: bytes[at])
            }
            do { _ = try PatchFile(bytes: bytes, name: "mutated") } catch { refused += 1 }
        }
        #expect(refused > 1_000)
    }

    /// The same with the values of the manifest, which mutated bytes rarely
    /// leave well-formed.
    @Test func mutatedManifestsNeverTrap() throws {
        let object = try PatchFixture.object()
        let text = PatchFixture.manifest().json.text(pretty: true)
        let words = [
            "0", "-1", "9223372036854775807", "\"0xffffffffffffffff\"", "\"0x0\"", "\"\"", "\"f\"",
            "null", "[]", "{}", "1e300", "true",
        ]
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        for index in lines.indices {
            guard let colon = lines[index].firstRange(of: ": ") else { continue }
            for word in words {
                var changed = lines
                let comma = lines[index].hasSuffix(",") ? "," : ""
                changed[index] = lines[index][..<colon.upperBound] + word + comma
                let bytes = try PatchFile.withManifest(
                    Array(changed.joined(separator: "\n").utf8), in: object, name: "mutated")
                do {
                    _ = try PatchFile(bytes: bytes, name: "mutated")
                } catch {
                    #expect("\(error)".contains("mutated"))
                }
            }
        }
    }
}

/// A small generator, so that every run tries the same inputs (Knuth's MMIX
/// constants).
struct Random {
    var state: UInt64

    mutating func next(_ bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % bound
    }

    mutating func interestingByte(besides byte: UInt8) -> UInt8 {
        let choices: [UInt8] = [0, 1, 0x7f, 0x80, 0xff, byte &+ 1, byte &- 1, UInt8(next(256))]
        return choices[next(choices.count)]
    }
}
