import ELFImage
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

    /// Whatever stands in an object, reading and comparing it ends, and well.
    @Test func changedBytesAreErrorsAtWorst() throws {
        let path = try Fixture.compile(
            "changes/ledger",
            flags: ["-O2", "-g1", "-fPIE", "-ffunction-sections", "-fdata-sections", "-c"],
            output: "ledger.o")
        let good = try path.bytes()
        let original = try CompiledObject(bytes: good, path: path)
        var mutator = Mutator(seed: 20)
        var read = 0
        let headers = good.count - 64 * 120..<good.count
        for _ in 0..<400 {
            let bytes = mutator.mutated(good, places: [0..<4_000, headers])
            guard let object = try? CompiledObject(bytes: bytes, path: path) else { continue }
            read += 1
            let comparison = ObjectComparison(
                original, object, decoder: try InstructionDecoder())
            _ = try? ChangeSet([comparison])
        }
        #expect(read > 30)
    }
}
