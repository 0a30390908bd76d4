import Addresses

extension PatchManifest {
    /// The number of bytes of the detour, `jmp rel32` (e9).
    static let detourLength: UInt64 = 5

    /// Checks what must hold between the values of a manifest, whoever made it.
    func checkConsistency() throws(PatchDefect) {
        guard Self.isValidName(name) else { throw PatchDefect.badName(name) }
        guard !functions.isEmpty else { throw PatchDefect.noFunctions }
        for function in functions { try function.checkConsistency() }
        try checkOverlaps()
        try checkSymbolLists()
    }

    /// No byte belongs to two functions, the detours' bytes included.
    private func checkOverlaps() throws(PatchDefect) {
        var taken: [(range: AddressRange<LinkAddress>, symbol: String)] = []
        for function in functions {
            for range in [function.extent] + function.fragments {
                taken.append((range, function.symbol))
            }
        }
        taken.sort { $0.range.start < $1.range.start }
        for (low, high) in zip(taken, taken.dropFirst()) where high.range.start < low.range.end {
            throw PatchDefect.overlap(symbol: high.symbol, high.range, other: low.symbol)
        }
    }

    private func checkSymbolLists() throws(PatchDefect) {
        var seen: Set<String> = []
        for name in baseSymbols.map(\.name) + imports.map(\.name) {
            guard seen.insert(name).inserted else { throw PatchDefect.listedTwice(name: name) }
        }
        for symbol in imports where symbol.library == nil && !symbol.weak {
            throw PatchDefect.importWithoutLibrary(name: symbol.name)
        }
    }
}

extension ReplacedFunction {
    /// The range together with the bytes of the detour that lie behind it.
    fileprivate var extent: AddressRange<LinkAddress> {
        let behind = site.advanced(by: PatchManifest.detourLength) ?? range.end
        return AddressRange(start: range.start, end: max(range.end, behind)) ?? range
    }

    fileprivate func checkConsistency() throws(PatchDefect) {
        for part in [range] + fragments where part.isEmpty {
            throw PatchDefect.emptyRange(symbol: symbol, part)
        }
        guard range.contains(site), site.advanced(by: PatchManifest.detourLength) != nil else {
            throw PatchDefect.siteOutside(symbol: symbol, site: site, range)
        }
        guard UInt64(original.count) == range.count else {
            throw PatchDefect.originalSize(
                symbol: symbol, bytes: original.count, range: range.count)
        }
    }
}
