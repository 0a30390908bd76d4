import ELFImage

/// Which function or datum of the object after is which of the object before: by
/// name, and where the compiler numbers names by what refers to them.
///
/// How numbered functions are paired decides only how much is replaced: whoever
/// calls another one of them than before counts as changed. A variable, though, is
/// one that the program has already, or a new one, and that must be certain.
struct Correlation {
    /// The sections of the object before, by those of the object after.
    private(set) var before: [Int: Int] = [:]
    private(set) var after: [Int: Int] = [:]
    /// Variables after of which it cannot be told which one before they are.
    private(set) var unclear: Set<Int> = []
    /// Functions before that have become further names of one, by its section after.
    private(set) var absorbed: [Int: [Int]] = [:]
    /// Functions after that were further names of one before, by their sections.
    private(set) var split: [Int: Int] = [:]

    /// More pairs of variables of one name than any compiler makes.
    private static let mostPairs = 1 << 20

    private enum Class: Hashable { case code, data, table }

    private struct Key: Hashable {
        let name: String
        let kind: Class
    }

    init(_ before: CompiledObject, _ after: CompiledObject) {
        let old = Self.groups(before)
        let new = Self.groups(after)
        for (key, sections) in new {
            let others = old[key] ?? []
            if key.kind == .data,
                sections.count > 1 || others.count > 1
                    || !others.isEmpty && isNumbered(sections, in: after)
            {
                pairVariables(others, before, sections, after)
            } else {
                pairByName(others, before, sections, after)
            }
        }
        pairByFurtherNames(before, after)
        doubtRenamed(before, after)
    }

    /// A variable that is new, where one like it is gone, may be that one under another
    /// name.
    private mutating func doubtRenamed(_ before: CompiledObject, _ after: CompiledObject) {
        var gone: [UInt64: [Int]] = [:]
        for (section, atom) in before.atoms where atom.isVariable && self.after[section] == nil {
            gone[atom.section.size, default: []].append(section)
        }
        for (section, atom) in after.atoms where atom.isVariable && self.before[section] == nil {
            let users = after.users(of: section)
            let isDoubtful = (gone[atom.section.size] ?? []).contains { candidate in
                before.atoms[candidate]?.kind == atom.kind
                    && !before.users(of: candidate).isDisjoint(with: users)
            }
            if isDoubtful { unclear.insert(section) }
        }
    }

    /// What has several names goes by each of them: aliases, and data for which the
    /// source names one section.
    private mutating func pairByFurtherNames(_ before: CompiledObject, _ after: CompiledObject) {
        var old: [String: Int] = [:]
        for (section, atom) in before.atoms where !atom.isToldByContent {
            for label in atom.labels { old[label.name] = section }
        }
        for (section, atom) in after.atoms.sorted(by: { $0.key < $1.key })
        where !atom.isToldByContent {
            let names =
                atom.labels.filter {
                    atom.kind == .code ? $0.type == .function : !StableName.isNumbered($0.name)
                }
            for label in names {
                // A number is not part of a variable's name.
                guard atom.kind == .code || !StableName.isNumbered(label.name),
                    let found = old[label.name], self.before[section] != found,
                    let was = before.atoms[found], (was.kind == .code) == (atom.kind == .code)
                else { continue }
                switch (self.before[section], self.after[found]) {
                case (nil, nil): pair(found, section)
                case (nil, _?) where atom.kind == .code: split[section] = found
                case (_?, nil) where atom.kind == .code:
                    if absorbed[section]?.contains(found) != true {
                        absorbed[section, default: []].append(found)
                    }
                default: continue
                }
            }
        }
    }

    private func isNumbered(_ sections: [Int], in object: CompiledObject) -> Bool {
        sections.contains { StableName.isNumbered(object.atoms[$0]?.name ?? "") }
    }

    /// What has a name, by that without numbers; in the order of sections.
    private static func groups(_ object: CompiledObject) -> [Key: [Int]] {
        var groups: [Key: [Int]] = [:]
        for (index, atom) in object.atoms.sorted(by: { $0.key < $1.key })
        where !atom.isToldByContent {
            let kind: Class
            guard !atom.isTableOfLinker else {
                // Its entries may be called after their lines.
                groups[Key(name: atom.section.name, kind: .table), default: []].append(index)
                continue
            }
            switch atom.kind {
            case .code: kind = .code
            case .constant, .variable, .threadLocal: kind = .data
            case .initialiser: kind = .table
            case .literals, .unwindTable, .callbacks: continue
            }
            groups[Key(name: StableName.of(atom.name), kind: kind), default: []].append(index)
        }
        return groups
    }

    mutating func pair(_ old: Int, _ new: Int) {
        before[new] = old
        after[old] = new
    }

    /// The same name first, then what is left in its order.
    private mutating func pairByName(
        _ old: [Int], _ before: CompiledObject, _ new: [Int], _ after: CompiledObject
    ) {
        var rest = Dictionary(grouping: old) { before.atoms[$0]?.name ?? "" }
        for section in new {
            guard let name = after.atoms[section]?.name, let found = rest[name]?.first else {
                continue
            }
            rest[name]?.removeFirst()
            pair(found, section)
        }
        let olds = old.filter { self.after[$0] == nil }
        let news = new.filter { self.before[$0] == nil }
        for (one, other) in zip(olds, news) { pair(one, other) }
    }

    /// A variable is the one that its function declares; where that is not told, the one
    /// that the same functions use, of the same size.
    private mutating func pairVariables(
        _ old: [Int], _ before: CompiledObject, _ new: [Int], _ after: CompiledObject
    ) {
        guard old.count.multipliedReportingOverflow(by: new.count).partialValue <= Self.mostPairs
        else {
            unclear.formUnion(new)
            return
        }
        let (old, new) = pairByFunctions(old, before, new, after)
        func candidates(_ section: Int) -> [Int] {
            old.filter { candidate in
                guard let was = before.atoms[candidate], let now = after.atoms[section] else {
                    return false
                }
                return was.section.size == now.section.size && was.kind == now.kind
                    && !before.users(of: candidate).isDisjoint(with: after.users(of: section))
            }
        }
        let wanted = Dictionary(uniqueKeysWithValues: new.map { ($0, candidates($0)) })
        var rivals: [Int: Int] = [:]
        for found in wanted.values {
            for section in found { rivals[section, default: 0] += 1 }
        }
        for section in new {
            let found = wanted[section] ?? []
            if found.count == 1, let only = found.first, rivals[only] == 1 { pair(only, section) }
        }
        // One that is left may be new, as long as none before is left with it.
        let left = old.contains { self.after[$0] == nil }
        for section in new where self.before[section] == nil && left {
            unclear.insert(section)
        }
    }
}
