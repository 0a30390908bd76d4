import Addresses
import ELFImage
import PatchFile
import SystemPackage
import TestSupport

/// A patch put together without the authoring room: the test says what replaces
/// what, and every other symbol is looked up in the base by its name.
enum HandmadePatch {
    static func make(
        name: String, fix: FilePath, base: FilePath, replacing symbols: [String],
        in directory: TemporaryDirectory
    ) throws -> PatchFile {
        let object = directory.path.appending("\(name).o")
        try Fixture.compile(
            source: fix, to: object,
            flags: ["-c", "-O2", "-fPIC", "-ftls-model=initial-exec", "-fcf-protection=none"])
        let image = try ELFImage.open(path: base)
        let table = try requireTable(image)
        let functions = try symbols.map { try replaced($0, image, table) }
        let (inBase, imported) = try undefined(of: object, image, table)
        let manifest = PatchManifest(
            name: name,
            base: Base(
                identity: try BaseIdentity(of: image), fileName: base.lastComponent?.string ?? "",
                kind: image.kind == .executable ? .executable : .positionIndependentExecutable),
            functions: functions, baseSymbols: inBase, imports: imported)
        return try PatchFile.make(
            object: try contents(of: object), manifest: manifest, name: name
        ).patch
    }

    private static func requireTable(_ image: ELFImage) throws -> SymbolTable {
        guard let table = try image.symbolTable(.full) else {
            throw Errno.noSuchFileOrDirectory
        }
        return table
    }

    private static func replaced(
        _ name: String, _ image: ELFImage, _ table: SymbolTable
    ) throws -> ReplacedFunction {
        let symbol = try table.symbol(try only(table.indexes(named: name)))
        guard let range = AddressRange(start: symbol.value, count: symbol.size) else {
            throw Errno.outOfRange
        }
        return ReplacedFunction(
            symbol: name, range: range, site: range.start,
            original: try image.bytes(at: range).array(), replacement: name)
    }

    private static func undefined(
        of object: FilePath, _ base: ELFImage, _ table: SymbolTable
    ) throws -> ([BaseSymbol], [ImportedSymbol]) {
        let symbols = try requireTable(try ELFImage.open(path: object))
        var inBase: [BaseSymbol] = []
        var imported: [ImportedSymbol] = []
        for index in 1..<symbols.count {
            let symbol = try symbols.symbol(index)
            // The assembler names the table whether or not it is referred to.
            guard symbol.section == .undefined, !symbol.name.isEmpty,
                symbol.name != "_GLOBAL_OFFSET_TABLE_"
            else { continue }
            let found = try table.indexes(named: symbol.name).map { try table.symbol($0) }
                .first { $0.section != .undefined }
            guard let found else {
                imported.append(
                    ImportedSymbol(
                        name: symbol.name, version: nil, library: "libc.so.6", kind: .function,
                        weak: false)
                )
                continue
            }
            let location: BaseSymbol.Location =
                found.type == .threadLocal
                ? .threadLocal(offset: found.value.rawValue)
                : found.type == .indirectFunction
                    ? .indirectFunction(found.value)
                    : found.type == .function ? .function(found.value) : .object(found.value)
            inBase.append(BaseSymbol(name: symbol.name, location: location, size: found.size))
        }
        return (inBase, imported)
    }

    private static func only(_ indexes: [Int]) throws -> Int {
        guard indexes.count == 1 else { throw Errno.noSuchFileOrDirectory }
        return indexes[0]
    }

    static func contents(of path: FilePath) throws -> [UInt8] {
        let file = try FileDescriptor.open(path, .readOnly)
        return try file.closeAfter {
            let size = Int(try file.seek(offset: 0, from: .end))
            return try unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
                filled = try unsafe file.read(
                    fromAbsoluteOffset: 0, into: UnsafeMutableRawBufferPointer(buffer))
            }
        }
    }
}
