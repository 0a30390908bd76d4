import Addresses
import ELFImage
import SystemPackage
import Testing

@testable import Patchability

/// The quick walk through functions against one that decodes each instruction.
@Suite struct WalkTests {
    private static let libraries = [
        "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    ]

    private func catalog(_ path: String) throws -> FunctionCatalog {
        try FunctionCatalog(try ELFImage.open(path: FilePath(path)))
    }

    /// What a walk finds, as text that can be compared.
    private struct Found: Equatable {
        var jumps: [String] = []
        var indirectJumps: [String] = []
        var addressesTaken: [String] = []
        var undecodable: UInt64?
        var fallsThrough = false
    }

    private func quick(_ row: FunctionRow, _ code: CodeMap, _ entry: Range<UInt64>?) -> Found {
        let body = FunctionBody(row, code, leadsTo: entry)
        return Found(
            jumps: body.jumps.map { "\($0.address) \($0.target)" },
            indirectJumps: body.indirectJumps.map { "\($0.address) \($0.runStart)" },
            addressesTaken: body.addressesTaken.map { "\($0.from) \($0.target)" },
            undecodable: body.undecodable, fallsThrough: body.fallsThrough)
    }

    private func slow(
        _ row: FunctionRow, _ region: CodeRegion, _ entry: Range<UInt64>?,
        _ decoder: borrowing Decoder
    ) -> Found {
        var found = Found()
        var address = row.start
        var runStart = address
        while address < row.end {
            guard let offset = region.offset(of: address),
                let instruction = decoder.decode(
                    region.bytes, at: offset, address: LinkAddress(rawValue: address))
            else {
                found.undecodable = address
                break
            }
            let next = instruction.end.rawValue
            let isPadding = InstructionShape(region.bytes, at: offset)?.isPadding == true
            found.fallsThrough = false
            switch instruction.flow {
            case .jump, .conditionalJump:
                found.fallsThrough = instruction.flow == .conditionalJump
                if let target = instruction.target?.rawValue {
                    if entry?.contains(target) ?? true || !row.contains(target) {
                        found.jumps.append("\(address) \(target)")
                    }
                } else {
                    found.indirectJumps.append("\(address) \(runStart)")
                }
            case .next:
                found.fallsThrough = !isPadding
                if let place = instruction.ripDisplacementOffset,
                    region.bytes[offset + instruction.opcodeOffset] == 0x8d,
                    let delta = region.bytes.load(offset + place, as: Int32.self)
                {
                    found.addressesTaken.append(
                        "\(address) \(next &+ UInt64(bitPattern: Int64(delta)))")
                }
            default: break
            }
            if [.jump, .return, .stop].contains(instruction.flow) { runStart = next }
            address = next
        }
        return found
    }

    @Test(arguments: libraries)
    func findsWhatDecodingFinds(_ path: String) throws {
        let catalog = try catalog(path)
        let decoder = try Decoder()
        var leads = 0
        for (number, row) in catalog.rows.enumerated() {
            guard let region = catalog.code.region(of: row.start) else { continue }
            var row = row
            // From the middle of an instruction on as well: what comes then is anything.
            if number % 3 == 0 { row.start = min(row.start + 1 + UInt64(number % 7), row.end) }
            let entry = number % 2 == 0 ? nil : row.start..<min(row.start + 5, row.end)
            let expected = slow(row, region, entry, decoder)
            var found = quick(row, catalog.code, entry)
            // What stands before bytes that are no instruction is of no use.
            if expected.undecodable != nil { found.fallsThrough = expected.fallsThrough }
            #expect(found == expected, "\(LinkAddress(rawValue: row.start))")
            leads += found.jumps.count + found.indirectJumps.count + found.addressesTaken.count
        }
        #expect(leads > 10000)
    }

    /// The quick look at an entry says no other than the thorough one, where it says
    /// anything.
    @Test(arguments: libraries)
    func ordinaryEntriesCanBeMoved(_ path: String) throws {
        let catalog = try catalog(path)
        let decoder = try Decoder()
        var quick = 0
        var asked = 0
        for row in catalog.rows {
            guard let region = catalog.code.region(of: row.start) else { continue }
            for address in row.start..<min(row.start + 8, row.end) {
                guard let offset = region.offset(of: address) else { continue }
                asked += 1
                guard
                    let covered = EntryInstructions.quickLook(
                        at: offset, of: region.bytes, covering: 5)
                else { continue }
                quick += 1
                let count = min(30, region.bytes.count - offset)
                let code = region.bytes.slice(offset, count)?.array() ?? []
                let entry = try EntryInstructions(code: code, covering: 5, decoder)
                #expect(entry.covered == covered, "\(LinkAddress(rawValue: address))")
            }
        }
        #expect(quick * 4 > asked, "\(quick) of \(asked)")
    }
}
