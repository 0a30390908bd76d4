import ELFImage
import Patchability
import SystemPackage
import TestSupport
import Testing

@testable import ObjectDiff

/// The parts of which a comparison is made.
@Suite struct ObjectTests {
    @Test(arguments: [
        ("parse", "parse"), ("counter.0", "counter"), ("f.constprop.1.isra.0", "f.constprop.isra"),
        ("f.part.0.cold", "f.part.cold"), ("_ZN1a1bEv", "_ZN1a1bEv"), (".hidden.1", ".hidden.1"),
        ("a.b", "a.b"),
    ])
    func namesWithoutNumbers(_ name: String, _ stable: String) {
        #expect(StableName.of(name) == stable)
        #expect(StableName.isNumbered(name) == (name != stable))
    }

    @Test func offsetsFollowTheInstructions() {
        var map = OffsetMap()
        map.add(0, 0)
        map.add(5, 5)
        map.add(10, 7)
        map.add(20, 17)
        #expect([0, 6, 10, 12, 25].map { map[$0] } == [0, 6, 7, 9, 22])
        #expect(!map.isIdentity)
    }

    @Test func whatIsWrittenIsRead() throws {
        var writer = ObjectWriter()
        let code = writer.add(
            OutputSection(
                name: ".text.f", type: .programBits, flags: [.allocated, .executable],
                alignment: 16, size: 6, bytes: [0xe8, 0, 0, 0, 0, 0xc3]))
        let data = writer.add(
            OutputSection(
                name: ".bss.v", type: .noBits, flags: [.allocated, .writable], alignment: 4,
                size: 64, bytes: []))
        writer.add(
            OutputRelocation(offset: 1, type: 4, target: .undefined("puts"), addend: -4), to: code)
        writer.symbols = [
            OutputSymbol(name: "f", section: code, size: 6, type: .function),
            OutputSymbol(name: "v", section: data, size: 64, type: .object),
        ]
        let image = try ELFImage.parse(bytes: writer.object(weak: ["puts"]), name: "made.o")
        #expect(image.kind == .relocatable)
        let object = try CompiledObject(
            bytes: writer.object(weak: ["puts"]), path: FilePath("made.o"))
        #expect(Set(object.atoms.values.map(\.name)) == ["f", "v"])
        let function = try #require(object.atoms.values.first { $0.name == "f" })
        let relocation = try #require(function.relocations.first)
        #expect(
            object.target(of: relocation, lead: 4) == .name("puts", offset: 0, isWeak: true))
    }

    /// A linked object as it is, for whose names its symbol table serves.
    private struct Base: LinkedBase {
        let image: ELFImage
        let catalog: FunctionCatalog
        var name: String { image.name }

        init(_ path: FilePath) throws {
            image = try ELFImage.open(path: path)
            catalog = try FunctionCatalog(image)
        }

        func isInterposable(_ name: String) -> Bool { false }

        var hasOwnNames: Bool { true }

        func imports(_ name: String) -> Bool { false }

        func definitions(of name: String) -> [BaseDefinition] {
            guard let table = try? image.symbolTable(.full) else { return [] }
            return table.indexes(named: name).compactMap { index in
                guard let symbol = try? table.symbol(index), symbol.section != .undefined else {
                    return nil
                }
                let kind: BaseDefinition.Kind =
                    switch symbol.type {
                    case .function: .function
                    case .threadLocal: .threadLocal
                    default: .object
                    }
                return BaseDefinition(
                    address: symbol.value, kind: kind, isGlobal: symbol.binding != .local,
                    sourceFile: symbol.sourceFile)
            }
        }
    }

    private static let flags = ["-std=gnu17", "-O2", "-g1", "-fPIE"]

    private static func object(_ change: Int) throws -> FilePath {
        try Fixture.compile(
            "changes/ledger",
            flags: flags + ["-DCHANGE=\(change)", "-ffunction-sections", "-fdata-sections", "-c"],
            output: "ledger.o")
    }

    /// Whatever stands in an object, on either side, reading, comparing and joining it
    /// ends, and well.
    @Test(arguments: [UInt64(1), 2]) func changedBytesAreErrorsAtWorst(_ seed: UInt64) throws {
        let base = try Base(
            try Fixture.compile("changes/ledger", flags: Self.flags + ["-pie"], output: "ledger"))
        let paths = [try Self.object(0), try Self.object(3)]
        let good = try paths.map { try $0.bytes() }
        let sound = try zip(good, paths).map { try CompiledObject(bytes: $0, path: $1) }
        _ = try SourceChange([ObjectPair(before: sound[0], after: sound[1])], base: base)
        var mutator = Mutator(seed: seed)
        var read = 0
        for round in 0..<60 {
            let side = round % 2
            let headers = max(0, good[side].count - 64 * 120)..<good[side].count
            let bytes = mutator.mutated(good[side], places: [0..<4_000, headers])
            guard let object = try? CompiledObject(bytes: bytes, path: paths[side]) else {
                continue
            }
            read += 1
            let pair =
                side == 0
                ? ObjectPair(before: object, after: sound[1])
                : ObjectPair(before: sound[0], after: object)
            _ = try? SourceChange([pair], base: base, mayHaveOthers: round % 4 < 2)
        }
        #expect(read > 5)
    }
}
