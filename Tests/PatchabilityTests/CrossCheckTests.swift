import Addresses
import ELFImage
import SystemPackage
import Testing

@testable import Patchability

/// The quick judgement of real libraries against a slow one that is obviously
/// right: decode every function from its start with Capstone, and collect every
/// branch target and return address.
@Suite struct CrossCheckTests {
    @Test(arguments: [
        "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
    ])
    func nothingLeadsIntoASite(_ path: String) throws {
        let image = try ELFImage.open(path: FilePath(path))
        let catalog = try FunctionCatalog(image)
        let (targets, returns) = try leads(in: catalog)
        try #require(targets.count > 1000)

        var patchable = 0
        var islands: Set<LinkAddress> = []
        for record in catalog {
            switch record.verdict {
            case .patchable(let site):
                patchable += 1
                for byte in 1..<site.size {
                    let inside = site.address.wrapping(by: Int64(byte))
                    #expect(!targets.contains(inside), "\(record.displayName): \(inside)")
                    #expect(!returns.contains(inside), "\(record.displayName): \(inside)")
                }
                guard let island = site.island else { continue }
                for byte in 0..<Site.jumpSize {
                    let inside = island.wrapping(by: Int64(byte))
                    #expect(!targets.contains(inside), "\(record.displayName): \(inside)")
                    #expect(!returns.contains(inside), "\(record.displayName): \(inside)")
                    #expect(catalog.function(containing: inside) == nil)
                    #expect(islands.insert(inside).inserted, "\(record.displayName): \(inside)")
                }
            case .unpatchable(.jumpIntoSite(_, let target, isCertain: true)):
                #expect(targets.contains(target), "\(record.displayName): \(target)")
            case .unpatchable(.returnIntoSite(_, let target)):
                #expect(returns.contains(target), "\(record.displayName): \(target)")
            case .unpatchable:
                break
            }
        }
        // Most functions of ordinary libraries can be patched.
        #expect(patchable * 2 > catalog.count)
    }

    /// Every target of a direct branch, and every address that a call or system
    /// call returns to.
    private func leads(
        in catalog: FunctionCatalog
    ) throws -> (targets: Set<LinkAddress>, returns: Set<LinkAddress>) {
        let decoder = try Decoder()
        var targets: Set<LinkAddress> = []
        var returns: Set<LinkAddress> = []
        for record in catalog where catalog.isCode(record.range) {
            let bytes = try catalog.image.bytes(at: record.range)
            var offset = 0
            while offset < bytes.count,
                let instruction = decoder.decode(
                    bytes, at: offset, address: record.address.wrapping(by: Int64(offset)))
            {
                if let target = instruction.target { targets.insert(target) }
                if instruction.flow == .call || instruction.flow == .interrupt {
                    returns.insert(instruction.end)
                }
                offset += instruction.length
            }
        }
        return (targets, returns)
    }
}
