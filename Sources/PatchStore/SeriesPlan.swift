extension Series {
    /// A patch that is switched in in a process.
    public struct Applied: Equatable, Sendable {
        public let id: PatchID
        /// The functions that it replaces.
        public let symbols: Set<String>

        public init(id: PatchID, symbols: Set<String>) {
            self.id = id
            self.symbols = symbols
        }
    }

    /// What brings a process to the series that is installed.
    public struct Plan: Equatable, Sendable {
        /// The topmost first. They leave in the switch of the first that comes, where
        /// one comes.
        public var revert: [PatchID] = []
        /// In order.
        public var apply: [PatchID] = []

        public var isEmpty: Bool { revert.isEmpty && apply.isEmpty }
    }

    /// What is to be done to a process that has `applied`, for it to have `installed`, in
    /// that order. What somebody applied without installing it stays, unless something
    /// that is installed takes its place.
    ///
    /// - Parameters:
    ///   - installed: the series of one base.
    ///   - withdrawn: what was installed and is no more.
    ///   - applied: the process's patches of that base, the lowest first.
    public static func plan(
        installed: [SeriesItem], withdrawn: Set<PatchID>, applied: [Applied]
    ) -> Plan {
        let present = Set(applied.map(\.id))
        // A cumulative patch takes all others out as it comes.
        let isReplacingAll = installed.contains {
            $0.isCumulative && $0.isSound && !present.contains($0.id)
        }
        var leaving = Set(
            applied.indices.filter { index in
                isReplacingAll || isUnwanted(applied[index].id, installed, withdrawn)
            })
        while let next = displaced(installed, applied, leaving) { leaving.insert(next) }
        let staying = Set(applied.indices.filter { !leaving.contains($0) }.map { applied[$0].id })
        return Plan(
            revert: leaving.sorted(by: >).map { applied[$0].id },
            apply: coming(of: installed, beside: staying))
    }

    /// What requires a patch that is damaged, and not there, does not come without it.
    private static func coming(
        of installed: [SeriesItem], beside staying: Set<PatchID>
    ) -> [PatchID] {
        let rest = installed.filter { !staying.contains($0.id) }
        var missing = rest.filter { !$0.isSound }.map(\.id)
        var coming: [PatchID] = []
        for item in rest where item.isSound {
            if item.requires.contains(where: { missing.contains(where: $0.isMet(by:)) }) {
                missing.append(item.id)
            } else {
                coming.append(item.id)
            }
        }
        return coming
    }

    private static func isUnwanted(
        _ id: PatchID, _ installed: [SeriesItem], _ withdrawn: Set<PatchID>
    ) -> Bool {
        if installed.contains(where: { $0.id == id }) { return false }
        return withdrawn.contains(id)
            || installed.contains { $0.id.name == id.name || $0.supersedes.contains(id.name) }
    }

    /// An installed patch that would stay and cannot: one that lies beneath it leaves,
    /// or comes, or is to be above it. It leaves too, and comes again.
    private static func displaced(
        _ installed: [SeriesItem], _ applied: [Applied], _ leaving: Set<Int>
    ) -> Int? {
        applied.indices.first { index in
            guard !leaving.contains(index),
                let place = installed.firstIndex(where: { $0.id == applied[index].id }),
                installed[place].isSound
            else { return false }
            let symbols = applied[index].symbols
            let leavesBeneath = applied[..<index].indices.contains {
                leaving.contains($0) && !applied[$0].symbols.isDisjoint(with: symbols)
            }
            return leavesBeneath
                || installed[..<place].contains { earlier in
                    guard earlier.isSound, !earlier.symbols.isDisjoint(with: symbols) else {
                        return false
                    }
                    let standing = applied.firstIndex { $0.id == earlier.id }
                    return standing.map { leaving.contains($0) || $0 > index } ?? true
                }
        }
    }
}
