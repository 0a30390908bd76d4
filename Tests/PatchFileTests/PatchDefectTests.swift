import Addresses
import ELFImage
import JSONText
import SystemPackage
import TestSupport
import Testing

@testable import PatchFile

/// Each rule that a patch must keep, broken once.
@Suite struct PatchDefectTests {
    private func defect(
        object: [UInt8]? = nil, _ change: (inout PatchManifest) -> Void = { _ in }
    ) throws -> String {
        var manifest = PatchFixture.manifest()
        change(&manifest)
        let bytes = try object ?? PatchFixture.object()
        let error = try #require(throws: PatchFileError.self) {
            _ = try PatchFile.make(object: bytes, manifest: manifest, name: "fix.hpatch")
        }
        return "\(error)"
    }

    @Test(arguments: [
        ("", "its name ''"), ("../up", "its name '../up'"), (".hidden", "its name '.hidden'"),
        ("a b", "its name 'a b'"), (String(repeating: "x", count: 65), "its name 'xxx"),
    ])
    func names(_ name: String, _ expected: String) throws {
        #expect(try defect { $0.name = name }.contains(expected))
    }

    @Test func ranges() throws {
        #expect(try defect { $0.functions = [] }.contains("replaces no function"))
        #expect(
            try defect {
                $0.functions[0].range = PatchFixture.range(0x1140, 0)
            }.contains("is empty"))
        #expect(try defect { $0.functions[0].original.removeLast() }.contains("15 original bytes"))
        for site: UInt64 in [0x113f, 0x1150, .max] {
            #expect(
                try defect {
                    $0.functions[0].site = LinkAddress(rawValue: site)
                }.contains("outside its range"))
        }
        #expect(
            try defect {
                $0.functions.append(PatchFixture.function("other", at: 0x114f))
            }.contains("overlaps"))
        #expect(
            try defect {
                $0.functions[0].fragments = [PatchFixture.range(0x1144, 2)]
            }.contains("overlaps"))
        // The detour of a function at the very end of its range reaches the next.
        #expect(
            try defect {
                $0.functions[0].site = LinkAddress(rawValue: 0x114f)
                $0.functions[0].fragments = [PatchFixture.range(0x1150, 8)]
            }.contains("overlaps"))
    }

    @Test func originals() throws {
        let calling =
            PatchFixture.source + "int old(int) __asm__(\"hotpatch.original.target\");"
            + "int again(int x) { return old(x); }"
        let object = try PatchFixture.object(calling)
        #expect(try defect(object: object).contains("'hotpatch.original.target'"))
        #expect(
            try defect { $0.functions[0].callsOriginal = true }
                .contains("'hotpatch.original.target'"))
        var manifest = PatchFixture.manifest()
        manifest.functions[0].callsOriginal = true
        let (_, patch) = try PatchFile.make(
            object: object, manifest: manifest, name: "fix.hpatch")
        #expect(patch.manifest == manifest)
    }

    /// The range is 0x1140 to 0x1150, and behind the site lies 0x1146.
    @Test(
        arguments: [
            (0x10c6, nil), (0x11c5, nil), (0x10c5, "out of a short jump's reach"),
            (0x11c6, "out of a short jump's reach"), (.max, "out of a short jump's reach"),
            (0, "out of a short jump's reach"), (0x113c, "overlaps"), (0x114f, "overlaps"),
            (0x1144, "overlaps"),
        ] as [(UInt64, String?)])
    func islands(_ island: UInt64, _ expected: String?) throws {
        var manifest = PatchFixture.manifest()
        manifest.functions[0].island = LinkAddress(rawValue: island)
        if let expected {
            #expect(try defect { $0 = manifest }.contains(expected), "\(island)")
        } else {
            let made = try PatchFile.make(
                object: try PatchFixture.object(), manifest: manifest, name: "fix.hpatch")
            #expect(made.patch.manifest == manifest)
        }
    }

    @Test func noWriteCrossesAPage() throws {
        for (site, island) in [(0x1ffd, nil), (0x1fff, 0x2020), (0x1ff0, 0x1ffc)]
            as [(UInt64, UInt64?)]
        {
            #expect(
                try defect {
                    $0.functions[0].range = PatchFixture.range(0x1fe0, 0x20)
                    $0.functions[0].original = Array(repeating: 0x90, count: 0x20)
                    $0.functions[0].site = LinkAddress(rawValue: site)
                    $0.functions[0].island = island.map { LinkAddress(rawValue: $0) }
                    $0.functions[0].fragments = []
                }.contains("in two pages"), "\(site)")
        }
    }

    @Test func symbolLists() throws {
        #expect(try defect { $0.imports = [] }.contains("undefined symbol 'puts'"))
        #expect(try defect { $0.imports.append($0.imports[0]) }.contains("lists 'puts' twice"))
        #expect(
            try defect {
                $0.baseSymbols.append(
                    BaseSymbol(
                        name: "puts", location: .function(LinkAddress(rawValue: 1)), size: 0))
            }.contains("lists 'puts' twice"))
        #expect(
            try defect { $0.imports[0].library = nil }.contains("names no library"))
        #expect(
            try defect {
                $0.baseSymbols.append(
                    BaseSymbol(
                        name: "helper", location: .function(LinkAddress(rawValue: 1)), size: 0))
            }.contains("does not leave undefined"))
        #expect(
            try defect {
                $0.baseSymbols[1].location = .object(LinkAddress(rawValue: 8))
            }.contains("one of the two is thread-local"))
        #expect(
            try defect {
                $0.baseSymbols[0].location = .threadLocal(offset: 8)
            }.contains("one of the two is thread-local"))
    }

    @Test(arguments: [
        ("absent", "is not in the object"), ("table", "is not a function"),
        ("puts", "is not in the object"),
    ])
    func replacements(_ name: String, _ expected: String) throws {
        #expect(try defect { $0.functions[0].replacement = name }.contains(expected))
    }

    @Test(arguments: [
        (["absent"], "is not in the object"), (["table"], "is not a function"),
        (["target"], "replaces a function"), (["helper", "helper"], "lists 'helper' twice"),
    ])
    func callbacks(_ names: [String], _ expected: String) throws {
        #expect(try defect { $0.runsOnce.callbacks = names }.contains(expected))
    }

    @Test func frameRegistries() throws {
        let sound = PatchFixture.frameRegistry
        var other = sound
        other.name = "system"
        #expect(try defect { $0.runsOnce.registries = [.imported(other)] }.contains("'system'"))
        #expect(
            try defect {
                $0.runsOnce.registries = [.imported(sound), .imported(sound)]
            }.contains("lists '__register_frame_info' twice"))
    }

    static let objects: [(source: String, flags: [String], expected: String)] = [
        ("__thread int slot = 3; int target(void) { return slot; }", [], "thread-local"),
        (
            "int target(void) { return 1; } __attribute__((constructor)) void go(void) {}", [],
            "would have to run"
        ),
        (
            "int target(void) { return 1; } __attribute__((destructor)) void go(void) {}", [],
            "would have to run"
        ),
        (
            "int one(void) { return 1; } static int (*pick(void))(void) { return one; } "
                + "int target(void) __attribute__((ifunc(\"pick\")));", [], "IFUNC"
        ),
        ("int shared; int target(void) { return shared; }", ["-fcommon"], "-fno-common"),
        (
            "extern int base_counter[]; int target(int x) { return base_counter[x]; }",
            ["-fno-pic"], "-fPIC"
        ),
        (
            "int target(void) { return 1; } "
                + "asm(\".section .wx,\\\"awx\\\",@progbits\\n .byte 1\");", [],
            "writable and executable"
        ),
        (
            "int target(void) { return 1; } "
                + "asm(\".section .big,\\\"aw\\\",@nobits\\n .skip 0x8000000\");", [],
            "of memory"
        ),
        (
            "int target(void) { return 1; } "
                + "asm(\".section .odd,\\\"aw\\\",@progbits\\n .balign 8192\\n .byte 1\");", [],
            "alignment 8192"
        ),
    ]

    @Test(arguments: objects.indices)
    func objectRules(_ index: Int) throws {
        let (source, flags, expected) = Self.objects[index]
        let object = try PatchFixture.object(source, flags: flags)
        let text = try defect(object: object) {
            $0.baseSymbols = []
            $0.imports = []
            if source.contains("extern") {
                $0.baseSymbols = [PatchFixture.manifest().baseSymbols[0]]
            }
        }
        #expect(text.contains(expected), "\(text)")
    }

    @Test func aLinkedProgramWithAManifestIsRefused() throws {
        let folder = try TemporaryDirectory()
        let source = try folder.write("int main(void) { return 0; }", to: "main.c")
        let program = folder.path.appending("main")
        try Fixture.compile(source: source, to: program, flags: ["-O2"])
        let manifest = try folder.write(
            PatchFixture.manifest().json.text(), to: "manifest.json")
        let patch = folder.path.appending("main.hpatch")
        let objcopy = try Command.run(
            "objcopy",
            [
                "--add-section", ".hotpatch.manifest=\(manifest)", program.string, patch.string,
            ])
        try #require(objcopy.succeeded)
        #expect(
            throws: PatchFileError.invalid(
                name: patch.string, .notRelocatable(.positionIndependentExecutable))
        ) { try PatchFile.read(path: patch) }
    }

    @Test func aSecondManifestIsRefused() throws {
        let once = try PatchFile.make(
            object: try PatchFixture.object(), manifest: PatchFixture.manifest(), name: "fix")
        #expect(try defect(object: once.bytes).contains("2 sections"))
    }

    /// Of every type, R_X86_64_NONE included, which changes nothing: the linker adds
    /// the offset to an address whatever the type.
    @Test(arguments: PatchRelocation.allCases)
    func aRelocationOutsideItsSectionIsRefused(_ type: PatchRelocation) throws {
        var object = try PatchFixture.object()
        let image = try ELFImage.parse(bytes: object, name: "fix.o")
        let relocations = try #require(image.section(named: ".rela.text.target"))
        // Elf64_Rela: r_offset, then r_info with the type in its low half.
        let entry = Int(relocations.offset.rawValue)
        object.replaceSubrange(entry..<entry + 8, with: repeatElement(0xff, count: 8))
        object[entry + 8] = UInt8(type.rawValue)
        #expect(try defect(object: object).contains("relocation"))
    }

    @Test func anotherVersionIsToldAsSuch() throws {
        let text = #"{"formatVersion": 2, "surprise": true}"#
        let bytes = try PatchFile.withManifest(
            Array(text.utf8), in: try PatchFixture.object(), name: "fix")
        #expect(throws: PatchFileError.version(name: "fix", found: 2)) {
            try PatchFile(bytes: bytes, name: "fix")
        }
    }

    @Test func aBaseWithoutBuildIDIsKnownByItsContent() throws {
        let folder = try TemporaryDirectory()
        let source = try folder.write("int main(void) { return 0; }", to: "main.c")
        let program = folder.path.appending("main")
        try Fixture.compile(source: source, to: program, flags: ["-Wl,--build-id=none"])
        let stripped = folder.path.appending("stripped")
        let strip = try Command.run("strip", ["-o", stripped.string, program.string])
        try #require(strip.succeeded)
        let identity = try BaseIdentity(of: .open(path: program))
        guard case .contentDigest(let digest) = identity else {
            Issue.record("\(identity)")
            return
        }
        #expect(digest.count == 32)
        #expect(try BaseIdentity(of: .open(path: stripped)) == identity)
        try Fixture.compile(source: source, to: program, flags: ["-Wl,--build-id=0xabcd"])
        #expect(try BaseIdentity(of: .open(path: program)) == .buildID([0xab, 0xcd]))
    }
}
