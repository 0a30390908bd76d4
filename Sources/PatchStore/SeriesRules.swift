import PatchFile

/// The rules by which patches follow one another. Pure: what is installed in, what
/// is to be installed out.
public enum Series {
    /// What becomes of the patches that are installed.
    public struct Change: Equatable, Sendable {
        /// All that is installed afterwards, in order.
        public var items: [SeriesItem]
        /// What was installed before and is no more.
        public var withdrawn: [SeriesItem] = []
        /// What came of each patch that was given, in the order given.
        public var outcomes: [Outcome] = []
    }

    public enum Outcome: Equatable, Sendable {
        /// It is new, and took the place of patches of these names.
        case installed(superseding: [String])
        /// It is there, in the place of another patch of its name.
        case replaced(PatchID)
        case alreadyInstalled
        /// It was installed, and its file could not be used.
        case repaired
    }

    /// Adds patches, in order.
    ///
    /// - Parameter replacing: whether a patch takes the place of one of the same name
    ///   and base.
    public static func adding(
        _ patches: [SeriesItem], to installed: [SeriesItem], replacing: Bool
    ) throws(SeriesRefusal) -> Change {
        var change = Change(items: installed)
        for patch in patches { try add(patch, to: &change, replacing: replacing) }
        try checkRequirements(after: change)
        return change
    }

    private static func add(
        _ patch: SeriesItem, to change: inout Change, replacing: Bool
    ) throws(SeriesRefusal) {
        let place = change.items.firstIndex {
            $0.id.name == patch.id.name && $0.base == patch.base
        }
        if let place {
            let present = change.items[place]
            if present.id == patch.id {
                change.items[place] = patch
                return change.outcomes.append(present.isSound ? .alreadyInstalled : .repaired)
            }
            guard replacing else { throw .nameTaken(patch.id, installed: present.id) }
            // Those that count on it come after it still.
            change.items[place] = patch
            change.withdrawn.append(present)
        }
        let superseded = change.items.filter(patch.replaces)
        change.items.removeAll(where: patch.replaces)
        change.withdrawn += superseded
        if place == nil { change.items.append(patch) }
        if let present = change.withdrawn.last(where: { $0.id.name == patch.id.name }), place != nil
        {
            change.outcomes.append(.replaced(present.id))
        } else {
            change.outcomes.append(.installed(superseding: superseded.map(\.id.name)))
        }
    }

    /// Takes patches out.
    public static func removing(
        from installed: [SeriesItem], where isGoing: (SeriesItem) -> Bool
    ) throws(SeriesRefusal) -> Change {
        let change = Change(
            items: installed.filter { !isGoing($0) }, withdrawn: installed.filter(isGoing))
        try checkRequirements(after: change)
        return change
    }

    /// Every patch has what it requires before it.
    private static func checkRequirements(after change: Change) throws(SeriesRefusal) {
        for (place, patch) in change.items.enumerated() {
            for requirement in patch.requires {
                let isMet = change.items[..<place].contains {
                    $0.base == patch.base && $0.isSound && requirement.isMet(by: $0.id)
                }
                if isMet { continue }
                let gone = change.withdrawn.first {
                    $0.base == patch.base && requirement.isMet(by: $0.id)
                }
                if let gone { throw .required(gone.id, by: patch.id) }
                throw .requirementMissing(patch.id, requirement, base: patch.base)
            }
        }
    }

    /// The patches that no program which starts from now on has any use for: where
    /// files of their base were found lies a build that contains the fix, and their base
    /// no more.
    ///
    /// - Parameter onDisk: the builds that lie there now.
    public static func obsolete(
        among installed: [SeriesItem], onDisk: (SeriesItem) -> Set<BaseIdentity>
    ) -> [SeriesItem] {
        installed.filter { patch in
            let builds = onDisk(patch)
            return !builds.contains(patch.base) && !builds.isDisjoint(with: patch.fixedIn)
        }
    }
}
