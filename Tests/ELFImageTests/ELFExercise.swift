import Addresses
import ELFImage
import Patchability

/// Asks an ELF object for everything that can be asked of it. It may refuse; it
/// may not trap.
enum ELFExercise {
    /// Where a changed byte has consequences: the headers and every table, but not
    /// the code and the data.
    static func interestingPlaces(of good: [UInt8]) throws(ELFError) -> [Range<Int>] {
        let image = try ELFImage.parse(bytes: good, name: "good")
        let tables = image.sections.filter { section in
            section.type != .programBits && section.type != .noBits
                || [".eh_frame", ".gnu_debuglink", ".plt"].contains(section.name)
        }.map { Int($0.offset.rawValue)..<Int($0.offset.rawValue + $0.size) }
        // The headers of ELF, of segments and of sections.
        let sectionHeaders = max(0, good.count - image.sections.count * 64)..<good.count
        let programHeaders = 0..<min(good.count, 64 + image.segments.count * 56)
        return [programHeaders, sectionHeaders] + tables
    }

    /// The errors that it met, for the curious.
    @discardableResult
    static func run(_ bytes: [UInt8]) -> [String] {
        var errors: [String] = []
        do {
            let image = try ELFImage.parse(bytes: bytes, name: "fuzzed")
            attempt(&errors) { try readTables(image) }
            attempt(&errors) { try readAddresses(image) }
            attempt(&errors) { try readCatalog(image) }
        } catch {
            errors.append("\(error)")
        }
        return errors
    }

    private static func attempt(_ errors: inout [String], _ body: () throws -> Void) {
        do { try body() } catch { errors.append("\(error)") }
    }

    private static func readTables(_ image: ELFImage) throws {
        for kind in [SymbolTableKind.full, .dynamic] {
            guard let table = try image.symbolTable(kind) else { continue }
            for index in 0..<min(table.count, 500) { _ = try? table.symbol(index) }
            _ = table.indexes(named: "main")
        }
        for section in image.sections.prefix(100) {
            _ = try? image.bytes(of: section)
            _ = try? image.relocations(in: section)
            _ = section.range
        }
        _ = try image.debugLink()
        _ = try image.interpreter()
        _ = "\(image.needed) \(String(describing: image.soname)) \(image.notes)"
    }

    private static func readAddresses(_ image: ELFImage) throws {
        _ = try? image.dynamicRelocations()
        _ = try? image.unwindRanges()
        for segment in image.segments.prefix(100) {
            if let range = segment.range { _ = try? image.bytes(at: range) }
            if let range = segment.fileBackedRange { _ = try? image.bytes(at: range) }
            _ = image.section(at: segment.address)
        }
    }

    private static func readCatalog(_ image: ELFImage) throws {
        let catalog = try FunctionCatalog(image)
        var total = 0
        for record in catalog.prefix(500) {
            total += record.verdict.refusal?.description.utf8.count ?? 1
            total += catalog.obstacles(of: record).count + record.displayName.utf8.count
        }
        _ = catalog.functions(named: "main")
        _ = catalog.function(containing: image.entry)
        _ = (catalog.summary, total)
    }
}
