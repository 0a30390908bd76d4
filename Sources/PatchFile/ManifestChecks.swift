import Addresses

extension PatchManifest {
    /// Checks what must hold between the values of a manifest, whoever made it.
    func checkConsistency() throws(PatchDefect) {
        guard Self.isValidName(name) else { throw PatchDefect.badName(name) }
        guard !functions.isEmpty else { throw PatchDefect.noFunctions }
        for function in functions { try function.checkConsistency() }
        try checkOverlaps()
        try checkSymbolLists()
        try checkSeries()
        try checkRunsOnce()
    }

    /// Each unwinder once, each callback once, and none that is another thing besides.
    private func checkRunsOnce() throws(PatchDefect) {
        var inBase = 0
        var imported = 0
        for registry in runsOnce.registries {
            switch registry {
            case .base: inBase += 1
            case .imported(let symbol):
                imported += 1
                guard symbol.name == FrameRegistry.functionName, symbol.kind == .function,
                    !symbol.weak, symbol.library != nil
                else { throw PatchDefect.frameRegistry(symbol.name) }
            }
        }
        if inBase > 1 || imported > 1 {
            throw PatchDefect.listedTwice(name: FrameRegistry.functionName)
        }
        var seen: Set<String> = []
        for name in runsOnce.callbacks {
            guard seen.insert(name).inserted else { throw PatchDefect.listedTwice(name: name) }
            if functions.contains(where: { $0.replacement == name }) {
                throw PatchDefect.callback(name, reason: "replaces a function of the base")
            }
        }
    }

    /// What it says of other patches can be kept.
    private func checkSeries() throws(PatchDefect) {
        for other in requires.map(\.name) + supersedes {
            guard Self.isValidName(other) else { throw PatchDefect.badName(other) }
            if other == name { throw PatchDefect.namesItself(name) }
        }
        if let both = requires.first(where: { supersedes.contains($0.name) }) {
            throw PatchDefect.requiresWhatItSupersedes(both.name)
        }
        if isCumulative, let first = requires.first {
            throw PatchDefect.requiresWhatItSupersedes(first.name)
        }
        if fixedIn.contains(base.identity) { throw PatchDefect.fixedInItsBase(base.identity) }
    }

    /// No byte belongs to two functions, the detours' bytes and islands included.
    private func checkOverlaps() throws(PatchDefect) {
        var taken: [(range: AddressRange<LinkAddress>, symbol: String)] = []
        for function in functions {
            let island = function.islandRange.map { [$0] } ?? []
            for range in [function.extent] + function.fragments + island {
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
        for name in undefinedNames {
            guard seen.insert(name).inserted else { throw PatchDefect.listedTwice(name: name) }
        }
        for symbol in imports where symbol.library == nil && !symbol.weak {
            throw PatchDefect.importWithoutLibrary(name: symbol.name)
        }
    }
}

extension PatchManifest {
    /// The undefined symbols that stand for originals.
    var originals: [String] {
        functions.filter(\.callsOriginal).map { PatchFile.originalSymbol(of: $0.symbol) }
    }

    /// Every name that the object leaves open.
    var undefinedNames: [String] {
        baseSymbols.map(\.name) + imports.map(\.name) + originals
    }
}

extension ReplacedFunction {
    /// The range together with the bytes of the detour that lie behind it.
    fileprivate var extent: AddressRange<LinkAddress> {
        let behind = siteRange?.end ?? range.end
        return AddressRange(start: range.start, end: max(range.end, behind)) ?? range
    }

    fileprivate func checkConsistency() throws(PatchDefect) {
        for part in [range] + fragments where part.isEmpty {
            throw PatchDefect.emptyRange(symbol: symbol, part)
        }
        guard range.contains(site), let siteRange else {
            throw PatchDefect.siteOutside(symbol: symbol, site: site, range)
        }
        try checkPage(of: siteRange)
        if let island { try check(island: island, after: siteRange.end) }
        guard UInt64(original.count) == range.count else {
            throw PatchDefect.originalSize(
                symbol: symbol, bytes: original.count, range: range.count)
        }
    }

    /// A `jmp rel8` reaches −128 to 127 bytes from its end (SDM vol. 2, "JMP").
    private func check(island: LinkAddress, after end: LinkAddress) throws(PatchDefect) {
        let distance = Int64(bitPattern: island.rawValue &- end.rawValue)
        guard (-128...127).contains(distance), let islandRange else {
            throw PatchDefect.islandOutOfReach(symbol: symbol, site: site, island: island)
        }
        try checkPage(of: islandRange)
    }

    /// What lies in one page is written at once.
    private func checkPage(of bytes: AddressRange<LinkAddress>) throws(PatchDefect) {
        let page: UInt64 = 4096
        guard bytes.start.rawValue / page == (bytes.end.rawValue - 1) / page else {
            throw PatchDefect.acrossPages(symbol: symbol, bytes)
        }
    }
}
