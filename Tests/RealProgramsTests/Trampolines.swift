import Addresses
import ELFImage
import PatchFile
import Patchability
import SystemPackage
import TestSupport
import Testing

/// A patch that replaces every function of a program that can be replaced and called
/// by a jump to the original. It changes nothing, unless a site, an island or a moved
/// entry is wrong.
struct Trampolines: CustomStringConvertible {
    static let name = "trampolines"

    let patch: PatchFile
    let share: ReplaceableShare
    /// How many are replaced by way of an island.
    private let islands: Int

    init(under program: FilePath) throws {
        let image = try ELFImage.open(path: program)
        let catalog = try FunctionCatalog(image)
        let originals = try OriginalCalls(catalog)
        var functions: [ReplacedFunction] = []
        var names: Set<String> = []
        for record in catalog where originals.verdict(of: record) == .callable {
            guard let site = record.verdict.site else { continue }
            // Several source files may have local functions of one name.
            var symbol = record.displayName
            if !names.insert(symbol).inserted { symbol += "@\(record.address)" }
            functions.append(
                ReplacedFunction(
                    symbol: symbol, range: record.range, site: site.address, island: site.island,
                    original: try image.bytes(at: record.range).array(),
                    replacement: "jump_\(functions.count)", callsOriginal: true))
        }
        share = try originals.share()
        islands = functions.count { $0.island != nil }
        let kind: Base.Kind =
            image.kind == .executable ? .executable : .positionIndependentExecutable
        let manifest = PatchManifest(
            name: Self.name,
            base: Base(
                identity: try BaseIdentity(of: image),
                fileName: program.lastComponent?.string ?? "",
                kind: kind),
            functions: functions)
        patch = try PatchFile.make(
            object: try Self.object(functions), manifest: manifest, name: Self.name
        ).patch
    }

    var description: String {
        "\(share.functions) functions, \(share.replaceable) can be replaced, \(share.callable) of "
            + "them called; \(islands) by way of an island"
    }

    /// `jump_0: jmp hotpatch.original.NAME`, and so on.
    private static func object(_ functions: [ReplacedFunction]) throws -> [UInt8] {
        var source = ".text\n"
        for function in functions {
            source += """
                .globl \(function.replacement)
                .type \(function.replacement),@function
                \(function.replacement): jmp "\(PatchFile.originalSymbol(of: function.symbol))"
                .size \(function.replacement),.-\(function.replacement)

                """
        }
        let folder = try TemporaryDirectory()
        let file = try folder.write(source, to: "trampolines.s")
        let output = folder.path.appending("trampolines.o")
        try Fixture.compile(source: file, to: output, flags: ["-c"])
        return try output.bytes()
    }
}
