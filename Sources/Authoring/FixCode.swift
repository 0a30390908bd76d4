import Addresses
import ELFImage
import PatchFile

/// The code of the fix, laid out as if it were linked: its executable sections
/// one behind the other, and displacements filled in. Whatever the fix does not
/// define lies at one address outside.
struct FixCode: CodeSpace {
    private struct Placement {
        let section: Int
        let range: AddressRange<LinkAddress>
        let bytes: ByteView
    }

    private static let start: UInt64 = 0x40_0000
    /// Where everything else is.
    private static let elsewhere: UInt64 = 0x1000

    private let placements: [Placement]
    private let functions: [CodeFunction]

    init(_ image: ELFImage) throws(AuthoringError) {
        do throws(ELFError) {
            let symbols = try Self.symbols(of: image)
            var addresses: [Int: UInt64] = [:]
            var next = Self.start
            for section in image.sections where section.isExecutable && section.size > 0 {
                addresses[section.index] = next
                // Section sizes were bounded by the file; the distance stays below
                // 2 GiB for any source.
                next &+= (section.size &+ 0xfff) & ~0xfff
            }
            var placements: [Placement] = []
            for (index, address) in addresses {
                var bytes = try image.bytes(of: image.sections[index]).array()
                try Self.relocate(&bytes, index, at: address, in: image, symbols, addresses)
                guard
                    let range = AddressRange(
                        start: LinkAddress(rawValue: address), count: UInt64(bytes.count))
                else { continue }
                placements.append(
                    Placement(section: index, range: range, bytes: ByteView(bytes)))
            }
            self.placements = placements
            functions = Self.functions(symbols, addresses)
        } catch {
            throw AuthoringError.object(error)
        }
    }

    func code(_ range: AddressRange<LinkAddress>) -> ByteView? {
        for placement in placements where placement.range.contains(range) {
            let offset = range.start.rawValue - placement.range.start.rawValue
            return placement.bytes.slice(Int(clamping: offset), Int(clamping: range.count))
        }
        return nil
    }

    func target(at address: LinkAddress) -> CodeTarget {
        if address.rawValue == Self.elsewhere { return .foreign }
        return functions.first { $0.contains(address) }.map { .function($0) } ?? .unknown
    }

    func function(named name: String) -> CodeFunction? {
        functions.first { $0.name == name }
    }

    private static func symbols(of image: ELFImage) throws(ELFError) -> [Symbol] {
        guard let table = try image.symbolTable(.full) else { return [] }
        var symbols: [Symbol] = []
        for index in 0..<table.count { symbols.append(try table.symbol(index)) }
        return symbols
    }

    private static func functions(
        _ symbols: [Symbol], _ addresses: [Int: UInt64]
    ) -> [CodeFunction] {
        func range(of symbol: Symbol) -> AddressRange<LinkAddress>? {
            guard symbol.type == .function, case .section(let index) = symbol.section,
                let address = addresses[index]
            else { return nil }
            return AddressRange(
                start: LinkAddress(rawValue: address &+ symbol.value.rawValue), count: symbol.size)
        }
        let parts = symbols.filter { $0.name.contains(".cold") }
        return symbols.filter { !$0.name.contains(".cold") }.compactMap { symbol in
            guard let whole = range(of: symbol) else { return nil }
            let cold = parts.filter {
                $0.name == symbol.name + ".cold" || $0.name.hasPrefix(symbol.name + ".cold.")
            }
            return CodeFunction(name: symbol.name, ranges: [whole] + cold.compactMap(range))
        }
    }

    /// Fills in the 4-byte displacements (psABI, table 4.9: S + A - P).
    private static func relocate(
        _ bytes: inout [UInt8], _ index: Int, at address: UInt64, in image: ELFImage,
        _ symbols: [Symbol], _ addresses: [Int: UInt64]
    ) throws(ELFError) {
        for section in image.sections
        where section.type == .relocationsWithAddends && Int(section.info) == index {
            for relocation in try image.relocations(in: section) {
                guard let kind = PatchRelocation(rawValue: relocation.type.rawValue),
                    kind.width == 4,
                    let offset = Int(exactly: relocation.offset.rawValue),
                    offset <= bytes.count - 4,
                    symbols.indices.contains(Int(relocation.symbolIndex))
                else { continue }
                let symbol = symbols[Int(relocation.symbolIndex)]
                var value = elsewhere
                if case .section(let home) = symbol.section, let start = addresses[home],
                    kind == .pc32 || kind == .plt32
                {
                    value = start &+ symbol.value.rawValue
                }
                let place = address &+ relocation.offset.rawValue
                let displacement = value &+ UInt64(bitPattern: relocation.addend) &- place
                for byte in 0..<4 {
                    bytes[offset + byte] = UInt8(
                        truncatingIfNeeded: displacement >> UInt64(8 * byte))
                }
            }
        }
    }
}
