import LiveProcess
import PatchFile
import PatchLinker
import PatchStore
import SystemPackage

/// One patch that was switched in or out to bring a process to what is installed, or
/// why it was not.
public struct SeriesStep: Sendable {
    public enum Action: String, Sendable { case apply, revert }

    public let action: Action
    public let patch: PatchID
    public let base: BaseIdentity
    public let outcome: Result<SwitchReport, SwitchoverError>
}

extension Switchover {
    /// Brings a process to what is installed: exactly the series of each base that it
    /// has loaded, in order, and nothing that was withdrawn. What somebody applied
    /// without installing it stays.
    ///
    /// A patch that is refused keeps back those that count on it, and no others. Where
    /// there is nothing to do, the process is not touched and there are no steps.
    ///
    /// Throws what keeps the process from being looked at.
    public static func follow(
        _ contents: StoreContents, in process: TargetProcess,
        options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> [SeriesStep] {
        try process.looked { p throws(LiveProcessError) in try p.requireSupportedProgram() }
        let stack = try stack(of: process)
        let loaded = try loadedBases(of: contents, in: process, options.images)
        var steps: [SeriesStep] = []
        for base in loaded {
            let installed = contents.items.filter { $0.base == base }
            let applied = stack.applied(to: base)
            let plan = Series.plan(
                installed: installed, withdrawn: contents.withdrawn(from: base), applied: applied)
            var work = SeriesWork(
                process: process, base: base, options: options, applied: applied)
            work.carryOut(plan, contents.series(of: base))
            steps += work.steps
        }
        return steps
    }

    /// The processes that have one of the bases loaded for which patches are installed,
    /// or from which some were withdrawn.
    public static func processes(concernedBy contents: StoreContents) throws(Errno) -> ProcessSearch
    {
        let images = ObjectImages()
        return try ProcessSearch.matching { process throws(LiveProcessError) in
            do throws(SwitchoverError) {
                return try !loadedBases(of: contents, in: process, images).isEmpty
            } catch .process(let error) {
                throw error
            } catch {
                return false
            }
        }
    }

    /// The bases of the store that the process has loaded, in the order of the store.
    private static func loadedBases(
        of contents: StoreContents, in process: TargetProcess, _ images: ObjectImages
    ) throws(SwitchoverError) -> [BaseIdentity] {
        let objects = try process.looked { p throws(LiveProcessError) in
            try p.loadedObjects()
        }
        var found: [BaseIdentity] = []
        var seen: Set<BaseIdentity> = []
        for patch in contents.patches where seen.insert(patch.base).inserted {
            do throws(SwitchoverError) {
                _ = try BaseObject.find(
                    patch.file.manifest.base, among: objects, of: process, images)
                found.append(patch.base)
            } catch .refused(let reasons) {
                // Loaded twice: applying tells why that is refused.
                if case .baseLoadedTwice = reasons.first { found.append(patch.base) }
            }
        }
        for patch in contents.withdrawn where seen.insert(patch.base).inserted {
            let isApplied = try stack(of: process).patches.contains {
                $0.state.isSwitchedIn && $0.record.base == "\(patch.base)"
            }
            if isApplied { found.append(patch.base) }
        }
        return found
    }
}

extension StoreContents {
    fileprivate func withdrawn(from base: BaseIdentity) -> Set<PatchID> {
        Set(withdrawn.filter { $0.base == base }.map(\.id))
    }
}

extension PatchStack {
    /// The patches of a base that are switched in, the lowest first.
    fileprivate func applied(to base: BaseIdentity) -> [Series.Applied] {
        var rest = patches.filter { $0.state.isSwitchedIn && $0.record.base == "\(base)" }
            .sorted { ($0.appliedAt ?? 0) < ($1.appliedAt ?? 0) }
        var result: [Series.Applied] = []
        while !rest.isEmpty {
            // Many may have come in one second: then what lies on what decides.
            let lowest = rest.firstIndex { patch in
                !rest.contains { lies(patch.record, on: $0.record) }
            }
            let record = rest.remove(at: lowest ?? 0).record
            result.append(
                Series.Applied(
                    id: PatchID(name: record.name, digest: record.digest),
                    symbols: Set(record.detours.map(\.symbol))))
        }
        return result
    }

    /// Whether some function leads through `upper` before it leads through `lower`.
    private func lies(_ upper: PayloadRecord, on lower: PayloadRecord) -> Bool {
        sites.values.contains { site in
            let starts = site.layers.map { payloads[$0.payload].record.extent.start }
            guard let above = starts.firstIndex(of: upper.extent.start),
                let beneath = starts.firstIndex(of: lower.extent.start)
            else { return false }
            return above < beneath
        }
    }
}

/// The steps of one plan.
private struct SeriesWork {
    let process: TargetProcess
    let base: BaseIdentity
    let options: SwitchOptions
    /// What was switched in before.
    let applied: [Series.Applied]
    private(set) var steps: [SeriesStep] = []

    init(
        process: TargetProcess, base: BaseIdentity, options: SwitchOptions,
        applied: [Series.Applied]
    ) {
        self.process = process
        self.base = base
        self.options = options
        self.applied = applied
    }

    mutating func carryOut(_ plan: Series.Plan, _ series: [InstalledPatch]) {
        let coming = plan.apply.compactMap { id in series.first { $0.id == id } }
        guard let first = coming.first else {
            for id in plan.revert { revert(id) }
            return
        }
        guard let leaving = makeRoom(for: first, plan.revert, series) else { return }
        // One switch, so that no fix is out while another one comes. What leaves may be
        // all that protects the program: it stays where the first cannot come.
        let isFirstIn = apply(first, replacing: leaving)
        guard isFirstIn || leaving.isEmpty else { return }
        var failed = isFirstIn ? [] : [SeriesItem(first.file)]
        for patch in coming.dropFirst() {
            let item = SeriesItem(patch.file)
            if failed.contains(where: item.dependsOn) || !apply(patch) { failed.append(item) }
        }
    }

    /// Takes out what comes again first, as far as that lies on it: in one switch it
    /// cannot leave and come. Returns what still has to leave; nil where it cannot be
    /// done, and all is as it was.
    private mutating func makeRoom(
        for first: InstalledPatch, _ leaving: [PatchID], _ series: [InstalledPatch]
    ) -> [PatchID]? {
        guard let place = leaving.firstIndex(of: first.id) else { return leaving }
        for (number, id) in leaving[...place].enumerated() where !revert(id) {
            for id in leaving[..<number].reversed() {
                if let patch = series.first(where: { $0.id == id }) { apply(patch) }
            }
            return nil
        }
        return Array(leaving[(place + 1)...])
    }

    /// Whether it is applied now.
    @discardableResult
    private mutating func apply(_ patch: InstalledPatch, replacing leaving: [PatchID] = []) -> Bool
    {
        var options = options
        options.replacing = Set(leaving.map(\.name))
        let outcome = Result { () throws(SwitchoverError) in
            try Switchover.apply(patch.file, to: process, options: options)
        }
        steps.append(
            SeriesStep(action: .apply, patch: patch.id, base: base, outcome: outcome))
        guard case .success(let report) = outcome else { return false }
        for id in leaving {
            let symbols = applied.first { $0.id == id }?.symbols ?? []
            let report = report.withdrawing(id, symbols.sorted())
            steps.append(
                SeriesStep(action: .revert, patch: id, base: base, outcome: .success(report)))
        }
        return true
    }

    /// Whether it is out now.
    @discardableResult
    private mutating func revert(_ id: PatchID) -> Bool {
        let outcome = Result { () throws(SwitchoverError) in
            try Switchover.revert(id.name, in: process, options: options)
        }
        steps.append(SeriesStep(action: .revert, patch: id, base: base, outcome: outcome))
        if case .success = outcome { return true }
        return false
    }
}

extension SwitchReport {
    /// What the same switch did to a patch that left in it.
    fileprivate func withdrawing(_ id: PatchID, _ symbols: [String]) -> SwitchReport {
        SwitchReport(
            outcome: .reverted, patch: id.name, digest: id.digest, base: base, symbols: symbols,
            stop: stop, attempts: attempts, duration: duration)
    }
}
