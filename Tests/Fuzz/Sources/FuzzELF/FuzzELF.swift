import FuzzDriver
import HotpatchKit

/// ELF objects of strangers: read, and every function judged.
@main struct FuzzELF {
    static func main() {
        fuzz { bytes in
            guard let image = try? ELFImage.parse(bytes: bytes, name: "input") else { return }
            for section in image.sections { _ = try? image.bytes(of: section) }
            for kind in [SymbolTableKind.full, .dynamic] {
                guard let table = try? image.symbolTable(kind) else { continue }
                for index in 0..<table.count { _ = try? table.symbol(index) }
            }
            _ = try? image.dynamicRelocations()
            guard let catalog = try? FunctionCatalog(image) else { return }
            for record in catalog { _ = "\(record.verdict)" }
        }
    }
}
