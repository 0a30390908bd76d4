import Addresses
import CDecoder
import ELFImage

/// Judges a function's entry by what stands there: which sites fit, and whether
/// a return address can lie inside one. What leads there from elsewhere is the
/// business of ``ReferenceSearch``.
struct EntryJudge {
    /// Sites are looked for at the first bytes only, behind `endbr64` and nops.
    static let lastSiteOffset: UInt64 = 24

    /// Where the function lies.
    let region: CodeRegion
    let row: FunctionRow
    /// The first label behind the entry, of those that the site may reach.
    let boundaries: ArraySlice<UInt64>

    /// Where the code after an `endbr64` starts: indirect calls have to find it
    /// even in a function that is patched.
    static func firstOffset(of row: FunctionRow, in region: CodeRegion) -> UInt64 {
        region.shape(at: row.start)?.endbr64 == true ? 4 : 0
    }

    /// The possible sites of `size` bytes, bit n for offset n, and why the first is
    /// none where there is none.
    func judge(size: UInt64 = Site.jumpSize) -> (sites: UInt32, refusal: Refusal?) {
        var sites: UInt32 = 0
        var refusal: Refusal?
        let firstOffset = Self.firstOffset(of: row, in: region)
        var offset = firstOffset
        while true {
            let found = self.refusal(ofSiteAt: row.start + offset, size)
            if found == nil { sites |= 1 << UInt32(offset) }
            if offset == firstOffset { refusal = found }
            // Behind nops, such as those of -fpatchable-function-entry, there may
            // be a better place: a loop may lead to the first real instruction.
            guard let shape = region.shape(at: row.start + offset), shape.padding,
                row.start + offset < row.end, offset + UInt64(shape.length) <= Self.lastSiteOffset
            else { break }
            offset += UInt64(shape.length)
        }
        return (sites, sites == 0 ? refusal : nil)
    }

    private func refusal(ofSiteAt site: UInt64, _ size: UInt64) -> Refusal? {
        let end = site.addingReportingOverflow(size)
        guard !end.overflow, end.partialValue <= region.end else {
            return .tooShort(available: Int(region.end - site), next: nil)
        }
        if let next = boundaries.first(where: { $0 > site }), next < end.partialValue {
            if next >= row.end {
                return .tooShort(available: Int(next - site), next: LinkAddress(rawValue: next))
            }
            // The catalog adds the label's name.
            return .labelInSite(
                Place(address: LinkAddress(rawValue: next), function: nil, offset: 0))
        }
        guard !Site.crossesPage(site, size: size) else {
            return .siteAcrossPages(at: LinkAddress(rawValue: site))
        }
        return refusal(ofInstructionsFrom: site, to: end.partialValue)
    }

    /// The next bytes, as evidence.
    private func bytes(at address: UInt64) -> [UInt8] {
        guard let offset = region.offset(of: address) else { return [] }
        return region.bytes.slice(offset, min(8, region.bytes.count - offset))?.array() ?? []
    }

    private func refusal(ofInstructionsFrom site: UInt64, to end: UInt64) -> Refusal? {
        var position = site
        while position < end {
            guard let shape = region.shape(at: position) else {
                return .undecodable(at: LinkAddress(rawValue: position), bytes: bytes(at: position))
            }
            let next = position + UInt64(shape.length)
            if position >= row.end {
                guard shape.padding else {
                    return .tooShort(
                        available: Int(position - site), next: LinkAddress(rawValue: position))
                }
            } else if next < end, shape.returnsBehind {
                return .returnIntoSite(
                    instruction: LinkAddress(rawValue: position),
                    returnsTo: LinkAddress(rawValue: next))
            }
            position = next
        }
        return nil
    }
}

extension cdecoder_shape {
    /// Whether a thread may be elsewhere and come back to the address behind.
    var returnsBehind: Bool {
        UInt32(flow) == CDECODER_CALL.rawValue || UInt32(flow) == CDECODER_INTERRUPT.rawValue
    }
}
