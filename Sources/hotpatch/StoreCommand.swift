import ArgumentParser
import Glibc
import HotpatchKit
import SystemPackage

/// What `install` and `uninstall` have in common: they change the store first, so
/// that no start in between is missed, and then the processes.
struct StoreArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How long to wait for another hotpatch that is changing the store.",
            valueName: "seconds"))
    var wait: Double = 60

    @OptionGroup var switching: SwitchArguments
    @OptionGroup var state: StateOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func validate() throws {
        guard wait >= 0, wait <= 86400 else {
            throw ValidationError("--wait takes 0 to 86400 seconds, not \(wait).")
        }
    }

    /// Changes the store, then the processes, while nobody else can, and reports.
    ///
    /// - Parameters:
    ///   - subjects: what it is about, for the log where it is refused.
    ///   - touchesProcesses: whether running processes are brought to what is installed.
    ///   - nothing: what to say to people where no patch is concerned.
    ///   - body: changes the store, and tells what became of which patch.
    func run(
        _ action: AuditEvent.Action, of subjects: [AuditedWork.Subject], touchesProcesses: Bool,
        nothing: String,
        _ body: (borrowing StoreChange) throws(Failure) -> [StoreRow]
    ) throws(Failure) {
        let trail = AuditTrail(state.locations)
        let (rows, results) = try noting(action, of: subjects, trail) { () throws(Failure) in
            let store: PatchStore
            do throws(StoreError) { store = try PatchStore(opening: state.locations) } catch {
                throw Failure(error)
            }
            return try store.change(
                timeout: .milliseconds(Int64(wait * 1000)), failure: { Failure($0) }
            ) { change throws(Failure) in
                try HeldSignals.during { () throws(Failure) in
                    let rows = try body(change)
                    trail.note(rows.compactMap { $0.event(trail) })
                    try awaitService(change)
                    let bases = Set(rows.map(\.base))
                    let results =
                        try touchesProcesses
                        ? ProcessesOfBases(bases: bases, options: switching.options, trail: trail)
                            .follow(change) : []
                    return (rows, results)
                }
            }
        }
        if rows.isEmpty, output.format == .table { try StandardOutput.write(nothing + "\n") }
        try results.report(command: action.rawValue, format: output.format, store: rows)
        if output.format == .table, touchesProcesses, results.isEmpty, !rows.isEmpty {
            try StandardOutput.write("No running process had to be changed.\n")
        }
    }

    /// Before what runs is looked at, so that no start falls between.
    private func awaitService(_ change: borrowing StoreChange) throws(Failure) {
        do throws(StoreError) {
            ServiceNotice.wait(for: try change.revision(), state.locations)
        } catch {
            throw Failure(error)
        }
    }

    /// Does `body`, and tells the log where it fails.
    ///
    /// - Parameter subjects: what it is about, as far as that is known.
    func noting<R>(
        _ action: AuditEvent.Action, of subjects: [AuditedWork.Subject], _ trail: AuditTrail,
        _ body: () throws(Failure) -> R
    ) throws(Failure) -> R {
        defer { trail.finish() }
        do throws(Failure) { return try body() } catch {
            AuditedWork(trail: trail, action: action, subjects: subjects).note(error)
            throw error
        }
    }
}

/// The running processes that a change of the store is about.
private struct ProcessesOfBases {
    let bases: Set<BaseIdentity>
    let options: SwitchOptions
    let trail: AuditTrail

    /// Brings them to what is installed.
    func follow(_ change: borrowing StoreChange) throws(Failure) -> [TargetResult] {
        let contents: StoreContents
        do throws(StoreError) { contents = try change.read().limited(to: bases) } catch {
            throw Failure(error)
        }
        for patch in contents.damaged { StandardError.write("hotpatch: warning: \(patch)\n") }
        let search: ProcessSearch
        do throws(Errno) { search = try Switchover.processes(concernedBy: contents) } catch {
            throw Failure(
                status: .partlyDone, code: "process.search",
                message: "the store is changed, but processes cannot be looked for: \(error)")
        }
        let results = WorkerThreads.map(search.found) { follow(contents, in: $0) }
            .flatMap(\.self)
        tellWhatIsHidden(search)
        let isAllSeen = search.notPermitted.isEmpty || geteuid() == 0
        if isAllSeen, results.allSatisfy({ $0.status == .done }) {
            do throws(StoreError) { try change.noteGone(Set(contents.withdrawn)) } catch {
                // The next change looks for them again.
                StandardError.write("hotpatch: warning: \(error)\n")
            }
        }
        return results
    }

    private func follow(_ contents: StoreContents, in id: ProcessID) -> [TargetResult] {
        do throws(LiveProcessError) {
            let process = try TargetProcess.find(id)
            let results = follow(contents, in: process).filter { $0.status != .noSuchTarget }
            AuditedWork(trail: trail, action: .apply).note(results, in: process)
            return results
        } catch {
            // It ended meanwhile.
            return []
        }
    }

    private func follow(_ contents: StoreContents, in process: TargetProcess) -> [TargetResult] {
        do throws(SwitchoverError) {
            return try Switchover.follow(contents, in: process, options: options).map { step in
                let subject = AuditedWork.Subject(
                    name: step.patch.name, digest: step.patch.digest, base: "\(step.base)",
                    action: step.action == .revert ? .revert : nil)
                return TargetResult(
                    id: process.id, name: process.name,
                    outcome: step.outcome.mapError { Failure($0) }, subject: subject)
            }
        } catch {
            return [
                TargetResult(
                    id: process.id, name: process.name, outcome: .failure(Failure(error)))
            ]
        }
    }

    private func tellWhatIsHidden(_ search: ProcessSearch) {
        guard geteuid() != 0, !search.notPermitted.isEmpty else { return }
        StandardError.write(
            "hotpatch: \(search.notPermitted.count) processes belong to other users and were not "
                + "looked at; run this as root to patch them too\n")
    }
}
