/// Something that leads, or may lead, to the inside of a site.
struct Reference: Sendable {
    enum Kind: Sendable {
        case branch(isCertain: Bool)
        case address
        case pointer
        case table(address: UInt64, entry: Int)
        case relocation
    }

    let kind: Kind
    /// The instruction, or the word, that refers.
    let from: UInt64
    let target: UInt64

    /// Whether a detour of five bytes at `site` would harm it, or be harmed by it.
    func leads(into site: UInt64) -> Bool {
        if case .relocation = kind { return bytes.overlaps(site..<site + Site.jumpSize) }
        return target > site && target < site + Site.jumpSize
    }

    /// The bytes that it leads to.
    var bytes: Range<UInt64> {
        // The loader writes eight bytes at most.
        if case .relocation = kind { target..<target + 8 } else { target..<target + 1 }
    }

    var verdict: VerdictCode {
        switch kind {
        case .branch: .jumpIntoSite
        case .address: .addressInSite
        case .pointer: .pointerIntoSite
        case .table: .tableIntoSite
        case .relocation: .relocatedSite
        }
    }
}
