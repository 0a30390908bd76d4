import Addresses
import ELFImage

/// What people read, made of a row when they ask.
extension FunctionCatalog {
    // MARK: - Names

    func names(of row: FunctionRow) -> [FunctionName] {
        let first = Int(row.firstLabel)
        var names: [FunctionName] = []
        var places: [String: Int] = [:]
        for label in labels[first..<first + Int(row.labelCount)] {
            guard let name = name(of: label) else { continue }
            // .dynsym repeats what .symtab has; of the two the one with a version
            // is worth more.
            if let known = places[name.text] {
                if names[known].version == nil, name.version != nil {
                    names[known] = FunctionName(
                        text: name.text, source: names[known].source, binding: name.binding,
                        sourceFile: names[known].sourceFile, version: name.version)
                }
            } else {
                places[name.text] = names.count
                names.append(name)
            }
        }
        return names.enumerated().sorted { left, right in
            (left.element.rank, left.offset) < (right.element.rank, right.offset)
        }.map(\.element)
    }

    private func name(of label: Label) -> FunctionName? {
        switch label.origin {
        case .none:
            return nil
        case .pltResolver:
            let index = Int(label.symbol)
            guard resolvers.indices.contains(index),
                let row = rows.lastFunction(upTo: resolvers[index].rawValue),
                rows[row].start == resolvers[index].rawValue,
                let resolver = names(of: rows[row]).first
            else { return nil }
            return stubName(resolver.text)
        case .pltSymbol:
            guard label.symbol != 0, let text = tables.dynamic?.name(Int(label.symbol)),
                !text.isEmpty
            else { return nil }
            return stubName(text)
        case .full, .dynamic, .debugFile:
            return symbolName(of: label)
        }
    }

    private func stubName(_ text: String) -> FunctionName {
        FunctionName(
            text: text + "@plt", source: .relocation, binding: .local, sourceFile: nil,
            version: nil)
    }

    private func symbolName(of label: Label) -> FunctionName? {
        let index = Int(label.symbol)
        guard let table = tables[label.origin], let entry = table[index],
            let text = table.name(index), !text.isEmpty
        else { return nil }
        let source: FunctionName.Source =
            switch label.origin {
            case .dynamic: .dynamicSymbolTable
            case .debugFile: .debugFile
            default: .symbolTable
            }
        // Linkers write the version into the names of .symtab: `f@@V1`, `f@V0`.
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        guard source != .dynamicSymbolTable, parts.count == 2, !parts[0].isEmpty else {
            return FunctionName(
                text: text, source: source, binding: entry.binding,
                sourceFile: table.sourceFile(index), version: table.version(index))
        }
        let isDefault = parts[1].hasPrefix("@")
        return FunctionName(
            text: String(parts[0]), source: source, binding: entry.binding,
            sourceFile: table.sourceFile(index),
            version: SymbolVersion(
                name: String(parts[1].drop { $0 == "@" }), isDefault: isDefault, library: nil))
    }

    // MARK: - Kind

    func kind(of row: FunctionRow, _ names: [FunctionName]) -> FunctionKind {
        switch row.kind {
        case .pltStub: return .pltStub
        case .ifuncResolver: return .ifuncResolver
        case .unnamed: return .unnamed
        case .fragment:
            for name in names {
                if case .fragment(let function) = CloneSuffix.kind(of: name.text) {
                    return .fragment(of: function)
                }
            }
            return .fragment(of: nil)
        case .ordinary, .outsideCode:
            return names.first.map { CloneSuffix.kind(of: $0.text) } ?? .unnamed
        }
    }

    // MARK: - Verdict

    func verdict(of index: Int) -> Verdict {
        let row = rows[index]
        if row.code == .patchable {
            if let offset = row.siteOffsets.first { return .patchable(site(of: row, at: offset)) }
            if let short = shortSites[index] {
                return .patchable(site(of: row, at: short.offset, island: short.island))
            }
        }
        return .unpatchable(refusal(of: row, evidence[index]?.first))
    }

    private func site(of row: FunctionRow, at offset: UInt64, island: UInt64? = nil) -> Site {
        let address = row.start + offset
        let size = island == nil ? Site.jumpSize : Site.shortJumpSize
        let end = address + size
        return Site(
            address: LinkAddress(rawValue: address), size: size,
            island: island.map(LinkAddress.init(rawValue:)), offset: Int(offset),
            followsEndbr64: firstOffset(of: row) > 0,
            paddingBytes: end > row.end ? Int(Swift.min(size, end - row.end)) : 0)
    }

    private func refusal(of row: FunctionRow, _ reference: Reference?) -> Refusal {
        switch row.kind {
        case .pltStub: return .pltStub
        case .ifuncResolver: return .ifuncResolver
        case .fragment:
            if case .fragment(let function) = kind(of: row, names(of: row)) {
                return .fragment(of: function)
            }
            return .fragment(of: nil)
        case .outsideCode:
            return .outsideCode(
                section: image.section(at: LinkAddress(rawValue: row.start))?.name)
        case .ordinary, .unnamed:
            return reference.map(refusal) ?? entryRefusal(of: row)
        }
    }

    func refusal(_ reference: Reference) -> Refusal {
        let from = LinkAddress(rawValue: reference.from)
        let target = LinkAddress(rawValue: reference.target)
        switch reference.kind {
        case .branch(let isCertain):
            return .jumpIntoSite(from: place(from), target: target, isCertain: isCertain)
        case .address:
            return .addressInSite(by: place(from), target: target)
        case .pointer:
            return .pointerIntoSite(at: from, target: target)
        case .table(let table, let entry):
            return .tableIntoSite(
                table: LinkAddress(rawValue: table), entry: entry, usedBy: place(from),
                target: target)
        case .relocation:
            return .relocatedSite(at: target)
        }
    }

    /// `address` as people name it: a function and an offset.
    public func place(_ address: LinkAddress) -> Place {
        guard let index = rows.function(containing: address.rawValue) else {
            return Place(address: address, function: nil, offset: 0)
        }
        return Place(
            address: address, function: names(of: rows[index]).first?.text,
            offset: address.rawValue - rows[index].start)
    }

    /// Judges the entry again, for the evidence, which is not kept for hundreds of
    /// thousands of functions.
    private func entryRefusal(of row: FunctionRow) -> Refusal {
        let refusal = judge(of: row).judge().refusal
        switch refusal {
        case .labelInSite(let place):
            return .labelInSite(labelPlace(at: place.address))
        case .some(let refusal):
            return refusal
        case .none:
            return .tooShort(available: 0, next: nil)
        }
    }

    private func firstOffset(of row: FunctionRow) -> UInt64 {
        EntryJudge.firstOffset(of: row, in: code.regions[Int(row.region)])
    }

    private func judge(of row: FunctionRow) -> EntryJudge {
        EntryJudge(
            region: code.regions[Int(row.region)], row: row,
            boundaries: boundaries[boundaries.firstIndex(after: row.start)...])
    }

    /// The name of what stands at `address`, where any symbol does.
    private func labelPlace(at address: LinkAddress) -> Place {
        for (_, table) in tables.all {
            for index in 0..<table.count where table[index]?.value == address {
                guard let name = table.name(index), !name.isEmpty else { continue }
                return Place(address: address, function: name, offset: 0)
            }
        }
        return Place(address: address, function: nil, offset: 0)
    }
}

extension FunctionName {
    /// Names that other objects may use come first, and of those the ones that are
    /// not meant for the implementation only (`malloc` before `__libc_malloc`).
    fileprivate var rank: Int {
        (binding == .local ? 1000 : 0) + text.utf8.prefix { $0 == UInt8(ascii: "_") }.count
    }
}

extension [UInt64] {
    /// The index of the first element greater than `value`, in an ascending list.
    func firstIndex(after value: UInt64) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if self[middle] <= value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
