import Addresses
import ELFImage
import Patchability

/// A function or datum of the objects after the change.
struct AtomPlace: Hashable, Comparable {
    /// Which of the objects.
    let object: Int
    let section: Int

    static func < (left: Self, right: Self) -> Bool {
        (left.object, left.section) < (right.object, right.section)
    }
}

/// What of several objects has changed, and what a patch of it needs.
struct ChangeSet {
    /// Where a reference of an included atom leads.
    enum Destination: Hashable {
        /// Something that comes along.
        case included(AtomPlace, offset: Int64)
        /// A string or number, which comes along by itself.
        case literal(AtomPlace, anchor: Int64, distance: Int64)
        /// What the base has: a section of an object before.
        case base(AtomPlace, offset: Int64)
        case name(String, offset: Int64, isWeak: Bool)
        case absolute(UInt64)
    }

    let comparisons: [ObjectComparison]
    /// The functions that replace others, in order.
    private(set) var replacements: [AtomPlace] = []
    /// The functions that are called before any replacement, in their order.
    private(set) var callbacks: [AtomPlace] = []
    /// Everything that goes into the patch.
    private(set) var included: Set<AtomPlace> = []
    private(set) var summary = Summary()
    /// The unwind tables of each object after.
    let unwind: [[(section: Int, entries: UnwindEntries)]]
    private let acceptedData: Set<String>
    private var changed: Set<AtomPlace> = []
    /// Functions that have got names of others.
    private var renamed: Set<AtomPlace> = []
    /// What another object had before, and where.
    private let moved: [AtomPlace: AtomPlace]
    private let goneVariables: Set<String>
    /// Whether the base has something that others can mean by that name.
    private let isInBase: (String) -> Bool
    /// The global symbols of the objects after, the first definition of each.
    private var definitions: [String: AtomPlace] = [:]

    struct Summary {
        var functions = 0
        var movedLines = 0
        var added: [String] = []
    }

    /// - Parameters:
    ///   - acceptedData: variables that a callback gives their new values.
    ///   - isInBase: whether the base has something that others can mean by that name.
    init(
        _ comparisons: [ObjectComparison], acceptedData: Set<String> = [],
        isInBase: @escaping (String) -> Bool
    ) throws(ChangeError) {
        self.comparisons = comparisons
        self.acceptedData = acceptedData
        self.isInBase = isInBase
        var unwind: [[(section: Int, entries: UnwindEntries)]] = []
        for comparison in comparisons { unwind.append(try Self.unwindTables(comparison.after)) }
        self.unwind = unwind
        moved = MovedDefinitions.find(comparisons)
        goneVariables = MovedDefinitions.goneVariables(comparisons)
        // Of an inline function, one that was there before stands for all.
        for wasThere in [true, false] {
            for (index, comparison) in comparisons.enumerated() {
                for (section, atom) in comparison.after.atoms.sorted(by: { $0.key < $1.key })
                where atom.isGlobal
                    && (comparison.correlation.before[section] != nil) == wasThere
                {
                    for label in atom.labels where label.binding != .local {
                        if definitions[label.name] == nil {
                            definitions[label.name] = AtomPlace(object: index, section: section)
                        }
                    }
                }
            }
        }
        for index in comparisons.indices { try compareFunctions(index) }
        for index in comparisons.indices { try findCallbacks(index) }
        for index in comparisons.indices { try compareData(index) }
        replacements = changed.union(renamed).map(canonical).sorted().reduce(into: []) {
            found, place in
            if found.last != place { found.append(place) }
        }.filter { atom($0)?.isFragment == false }
        guard !replacements.isEmpty else {
            throw .nothingToPatch(
                NothingChanged(
                    functions: summary.functions, movedLines: summary.movedLines,
                    added: summary.added))
        }
        try include()
    }

    private static func unwindTables(
        _ object: CompiledObject
    ) throws(ChangeError) -> [(section: Int, entries: UnwindEntries)] {
        var tables: [(section: Int, entries: UnwindEntries)] = []
        for (section, atom) in object.atoms.sorted(by: { $0.key < $1.key })
        where atom.kind == .unwindTable {
            guard let entries = UnwindEntries(atom, of: object) else {
                throw .elf(
                    .malformed(
                        name: object.name, part: "section \(atom.section.name)",
                        rule: "an entry passes the section's end", value: atom.section.size))
            }
            tables.append((section, entries))
        }
        return tables
    }

    func atom(_ place: AtomPlace) -> Atom? { comparisons[place.object].after.atoms[place.section] }

    func name(of place: AtomPlace) -> String { comparisons[place.object].after.name }

    /// Where that was before the change; nil for what is new.
    func origin(of place: AtomPlace) -> AtomPlace? {
        moved[place]
            ?? comparisons[place.object].correlation.before[place.section].map {
                AtomPlace(object: place.object, section: $0)
            }
    }

    /// The functions before that a replacement takes the place of.
    func origins(of place: AtomPlace) -> [AtomPlace] {
        let absorbed = comparisons[place.object].correlation.absorbed[place.section] ?? []
        let own = changed.contains(place) ? [origin(of: place)].compactMap(\.self) : []
        return own + absorbed.map { AtomPlace(object: place.object, section: $0) }
    }

    // MARK: - What has changed

    private mutating func compareFunctions(_ index: Int) throws(ChangeError) {
        let comparison = comparisons[index]
        for (section, atom) in comparison.after.atoms.sorted(by: { $0.key < $1.key })
        where atom.kind == .code {
            let place = AtomPlace(object: index, section: section)
            if let other = comparison.correlation.split[section] {
                throw .splitFunction(
                    object: comparison.after.name, name: atom.name,
                    other: comparison.before.atoms[other]?.name ?? "")
            }
            guard comparison.correlation.before[section] != nil else {
                if moved[place] != nil {
                    summary.functions += 1
                    changed.insert(place)
                } else {
                    summary.added.append(atom.name)
                }
                continue
            }
            summary.functions += 1
            if comparison.correlation.absorbed[section] != nil { renamed.insert(place) }
            switch comparison.verdict(ofCode: section) {
            case .same: continue
            case .movedLines: summary.movedLines += 1
            case .differs: try note(section, atom, index)
            }
        }
    }

    private mutating func note(
        _ section: Int, _ atom: Atom, _ index: Int
    ) throws(ChangeError) {
        let functions = atom.labels.filter { $0.type == .function }
        guard Set(functions.map(\.value)).count <= 1, functions.first?.value.rawValue ?? 0 == 0
        else {
            throw .sharedSection(
                object: comparisons[index].after.name, section: atom.section.name,
                functions: functions.map(\.name))
        }
        changed.insert(AtomPlace(object: index, section: section))
        // A part that changed belongs to a function that is replaced as a whole.
        guard case .fragment(let owner?)? = atom.symbol.map({ CloneSuffix.kind(of: $0.name) })
        else { return }
        if let found = comparisons[index].after.function(named: owner),
            comparisons[index].correlation.before[found] != nil
        {
            changed.insert(AtomPlace(object: index, section: found))
        }
    }

    private mutating func findCallbacks(_ index: Int) throws(ChangeError) {
        let comparison = comparisons[index]
        for (_, atom) in comparison.after.atoms.sorted(by: { $0.key < $1.key })
        where atom.kind == .callbacks {
            for relocation in atom.relocations {
                guard case .atom(let section, 0) = comparison.after.target(of: relocation),
                    comparison.after.atoms[section]?.kind == .code,
                    comparison.correlation.before[section] == nil
                else {
                    throw .callback(
                        object: comparison.after.name,
                        name: comparison.after.targetName(of: relocation))
                }
                let place = AtomPlace(object: index, section: section)
                if !callbacks.contains(place) { callbacks.append(place) }
            }
        }
    }

    private func compareData(_ index: Int) throws(ChangeError) {
        let comparison = comparisons[index]
        let (after, before) = (comparison.after, comparison.before)
        for (section, atom) in after.atoms.sorted(by: { $0.key < $1.key }) {
            let old = comparison.correlation.before[section].flatMap { before.atoms[$0] }
            if let place = moved[AtomPlace(object: index, section: section)] {
                try MovedDefinitions.check(
                    section, in: after, was: place.section, in: comparisons[place.object].before)
                continue
            }
            if atom.isTableOfLinker, old == nil { throw Self.changedTable(atom, to: true, after) }
            switch atom.kind {
            case .initialiser:
                try checkInitialiser(section, atom, index, isNew: old == nil)
            case .variable, .threadLocal:
                guard let old else { continue }
                try check(section, atom, old, comparison)
            case .constant:
                // A local one that changed is another one, for those who use it.
                guard let old, atom.isGlobal || old.isGlobal || atom.isTableOfLinker else {
                    continue
                }
                try check(section, atom, old, comparison)
            case .code, .literals, .unwindTable, .callbacks: continue
            }
        }
        for (section, atom) in before.atoms where comparison.correlation.after[section] == nil {
            if atom.kind == .initialiser {
                throw .changedInitialiser(object: before.name, name: atom.name)
            }
            if atom.isTableOfLinker { throw Self.changedTable(atom, to: false, before) }
        }
    }

    /// Something joins a table that the base has, or leaves it.
    private static func changedTable(
        _ atom: Atom, to isThere: Bool, _ object: CompiledObject
    ) -> ChangeError {
        let size = atom.section.size
        return .changedData(
            object: object.name, name: atom.name,
            place: DataPlace(
                offset: 0, sizeBefore: isThere ? 0 : size, sizeAfter: isThere ? size : 0,
                isConstant: atom.kind == .constant))
    }

    private func check(
        _ section: Int, _ atom: Atom, _ old: Atom, _ comparison: ObjectComparison
    ) throws(ChangeError) {
        guard case .differs(_, let offset) = comparison.verdict(ofData: section) else { return }
        // The program's own stays in use, and a callback sets it.
        if acceptedData.contains(atom.name), !callbacks.isEmpty, atom.kind == .variable,
            atom.section.size == old.section.size
        {
            return
        }
        throw .changedData(
            object: comparison.after.name, name: atom.name,
            place: DataPlace(
                offset: offset, sizeBefore: old.section.size, sizeAfter: atom.section.size,
                isConstant: atom.kind == .constant))
    }

    /// What a table of constructors refers to has run already.
    private func checkInitialiser(
        _ section: Int, _ atom: Atom, _ index: Int, isNew: Bool
    ) throws(ChangeError) {
        let comparison = comparisons[index]
        func refuse(_ name: String) -> ChangeError {
            .changedInitialiser(object: comparison.after.name, name: name)
        }
        guard !isNew, comparison.verdict(ofData: section) == .same else { throw refuse(atom.name) }
        for relocation in atom.relocations {
            if case .atom(let target, _) = comparison.after.target(of: relocation),
                changed.contains(AtomPlace(object: index, section: target))
            {
                throw refuse(comparison.after.atoms[target]?.name ?? atom.name)
            }
        }
    }

    // MARK: - What comes along

    private mutating func include() throws(ChangeError) {
        var queue = replacements + callbacks
        included = Set(queue)
        while let place = queue.popLast() {
            guard let atom = atom(place) else { continue }
            for relocation in atom.relocations + unwindRelocations(of: place) {
                let target = try destination(of: relocation, in: place, lead: 0)
                if case .included(let next, _) = target, included.insert(next).inserted {
                    queue.append(next)
                }
            }
        }
    }

    /// Those of the entries of .eh_frame that describe a function.
    private func unwindRelocations(of place: AtomPlace) -> [Relocation] {
        let object = comparisons[place.object].after
        return unwind[place.object].flatMap { table in
            table.entries.entries(of: place.section).flatMap { entry in
                let parent = table.entries.entry(at: entry.parent)
                return object.atoms[table.section].map { atom in
                    atom.relocations(in: entry.range)
                        + (parent.map { atom.relocations(in: $0.range) } ?? [])
                } ?? []
            }
        }
    }

    /// The same function of several objects, as templates and inline functions are,
    /// is the first of them.
    private func canonical(_ place: AtomPlace) -> AtomPlace {
        guard let symbol = atom(place)?.symbol,
            [.weak, .unique].contains(symbol.binding), let first = definitions[symbol.name]
        else { return place }
        return first
    }

    /// Where a reference leads; `lead` as in ``CompiledObject/target(of:lead:)``.
    func destination(
        of relocation: Relocation, in home: AtomPlace, lead: Int64
    ) throws(ChangeError) -> Destination {
        let comparison = comparisons[home.object]
        switch comparison.after.target(of: relocation, lead: lead) {
        case .absolute(let value): return .absolute(value)
        case .name(let name, let offset, let isWeak):
            if let place = definitions[name] { return try destination(place, offset) }
            return .name(name, offset: offset, isWeak: isWeak)
        case .literal(let section, let anchor, let distance):
            let place = AtomPlace(object: home.object, section: section)
            return .literal(place, anchor: anchor, distance: distance)
        case .atom(let section, let offset):
            let place = AtomPlace(object: home.object, section: section)
            return try destination(canonical(place), offset)
        }
    }

    private func destination(
        _ place: AtomPlace, _ offset: Int64
    ) throws(ChangeError) -> Destination {
        let comparison = comparisons[place.object]
        guard let atom = comparison.after.atoms[place.section] else {
            return .included(place, offset: offset)
        }
        let old = origin(of: place)
        if old == nil, let name = sharedName(of: atom) {
            return .name(name, offset: offset, isWeak: false)
        }
        switch atom.kind {
        case .code:
            guard let old, !atom.isFragment, !changed.contains(place), atom.isOneFunction else {
                return .included(place, offset: offset)
            }
            return .base(old, offset: offset)
        case .constant:
            guard let old, moved[place] != nil || comparison.verdict(ofData: place.section) == .same
            else {
                return .included(place, offset: offset)
            }
            return .base(old, offset: offset)
        case .variable, .threadLocal:
            let isGone = old == nil && goneVariables.contains(StableName.of(atom.name))
            if isGone || comparison.correlation.unclear.contains(place.section) {
                throw .unclearVariable(object: comparison.after.name, name: atom.name)
            }
            if let old { return .base(old, offset: offset) }
            guard atom.kind == .variable else {
                throw .newThreadLocal(object: comparison.after.name, name: atom.name)
            }
            return .included(place, offset: offset)
        case .initialiser, .literals, .unwindTable, .callbacks:
            return .included(place, offset: offset)
        }
    }

    /// The name of data that every object which uses it brings along, and of which one
    /// program has one: variables of inline functions, and what tells of types.
    private func sharedName(of atom: Atom) -> String? {
        guard atom.isVariable || atom.kind == .constant, let symbol = atom.symbol,
            [.weak, .unique].contains(symbol.binding), isInBase(symbol.name)
        else { return nil }
        return symbol.name
    }

    /// Tables of pointers of which the patch has another one in place of one of the base.
    var changedTables: [String] {
        included.sorted().compactMap { place in
            guard let atom = atom(place), atom.kind == .constant, !atom.isToldByContent,
                !atom.relocations.isEmpty, origin(of: place) != nil
            else { return nil }
            return atom.name
        }
    }
}

extension Atom {
    /// Whether all that is in it has one start, so that a symbol of the base stands
    /// for it.
    fileprivate var isOneFunction: Bool { labels.allSatisfy { $0.value.rawValue == 0 } }
}
