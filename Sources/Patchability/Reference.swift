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

    /// Whether a detour at `site` would harm it, or be harmed by it.
    func leads(into site: UInt64) -> Bool {
        if case .relocation = kind {
            // The loader writes eight bytes at most.
            return target &+ 8 > site && target < site &+ Site.size
        }
        return target > site && target < site &+ Site.size
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
