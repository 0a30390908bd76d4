import Addresses
import Glibc
import LiveProcess
import Logging
import PatchFile
import PatchLinker

extension Switchover {
    /// Switches a patch in, as ``apply(_:to:options:)-(_,_,_)`` does a set of them.
    public static func apply(
        _ patch: PatchFile, to process: TargetProcess, options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> SwitchReport {
        try only(apply([patch], to: process, options: options))
    }

    /// Switches patches in, all of them at one moment or none.
    ///
    /// Everything slow is done while the process runs: it is looked at, the patches
    /// are linked and mapped beside the code that they replace. Then the threads are
    /// stopped, and where none is in the way, the jumps are written. On failure the
    /// process is as it was. One report for each patch, in the order given.
    public static func apply(
        _ patches: [PatchFile], to process: TargetProcess,
        options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> [SwitchReport] {
        let start = ContinuousClock().now
        return try alone(with: process, options) { () throws(SwitchoverError) in
            let plan = try plan(patches, for: process, options)
            var reports = plan.present.map { report(.alreadyApplied, $0.record, since: start) }
            if !plan.patches.isEmpty {
                reports += try carryOut(plan, options, since: start)
            }
            return ordered(reports, as: patches)
        }
    }

    /// Does all that `apply` does but for mapping the patch and writing.
    public static func check(
        _ patch: PatchFile, in process: TargetProcess, options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> SwitchReport {
        try only(check([patch], in: process, options: options))
    }

    /// Does all that `apply` does but for mapping the patches and writing.
    public static func check(
        _ patches: [PatchFile], in process: TargetProcess,
        options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> [SwitchReport] {
        let start = ContinuousClock().now
        let plan = try plan(patches, for: process, options)
        var reports = plan.present.map { report(.alreadyApplied, $0.record, since: start) }
        if !plan.patches.isEmpty {
            var linked: [ApplyPlan.Linked] = []
            for patch in plan.patches {
                let installer = PayloadInstaller(plan: patch, options: options)
                let payload =
                    if let kept = patch.kept { kept.payload } else {
                        try installer.linkedAnywhere()
                    }
                linked.append(.init(plan: patch, payload: payload, isNew: false))
            }
            let (change, guards) = try plan.switching(linked, options)
            let window = try window(change, guards, in: process, options, writes: false)
            let passage = try window.pass()
            reports += linked.map {
                report(.possible, $0.payload.record, since: start, passage)
            }
        }
        return ordered(reports, as: patches)
    }

    private static func plan(
        _ patches: [PatchFile], for process: TargetProcess, _ options: SwitchOptions
    ) throws(SwitchoverError) -> ApplyPlan {
        options.observe(.looking)
        try process.looked { p throws(LiveProcessError) in
            try p.requireSupportedProgram()
            try p.requireUntraced()
            try p.requireNoCoreDump()
        }
        let plan = try ApplyPlan.make(patches, for: process, options)
        if options.seccomp == .refuse {
            try process.looked { p throws(LiveProcessError) in
                if plan.patches.contains(where: { !$0.patch.manifest.runsOnce.isEmpty }) {
                    try p.requireNoSeccompFilter()
                }
                if plan.patches.contains(where: { $0.kept == nil }) {
                    try p.requirePermittedCalls()
                }
            }
        }
        return plan
    }

    private static func carryOut(
        _ plan: ApplyPlan, _ options: SwitchOptions, since start: ContinuousClock.Instant
    ) throws(SwitchoverError) -> [SwitchReport] {
        var linked: [ApplyPlan.Linked] = []
        do throws(SwitchoverError) {
            for patch in plan.patches {
                options.observe(.linking)
                let rooms = linked.isEmpty && options.reusesRooms ? plan.emptyRooms : []
                let installer = PayloadInstaller(plan: patch, options: options, emptyRooms: rooms)
                let payload =
                    if let kept = patch.kept { kept.payload } else { try installer.install() }
                linked.append(.init(plan: patch, payload: payload, isNew: patch.kept == nil))
                try HeldSignals.check()
            }
            let (change, guards) = try plan.switching(linked, options)
            for patch in linked where !patch.isNew { try renew(patch.payload, in: plan.process) }
            let passage = try carryOut(change, guards, in: plan.process, options)
            return linked.map { patch in
                report(.applied, patch.payload.record, since: start, passage)
            }
        } catch {
            for patch in linked where patch.isNew { discard(patch, options) }
            throw error
        }
    }

    /// The callbacks of a patch that was reverted run again: the program has gone on
    /// without it meanwhile. Nothing leads to the payload yet.
    private static func renew(
        _ payload: LinkedPayload, in process: TargetProcess
    ) throws(SwitchoverError) {
        guard let block = payload.once else { return }
        try process.looked { p throws(LiveProcessError) in
            let found = try p.read(block.place, count: LinkedPayload.OnceBlock.size)
            if let bytes = block.renewed(over: found) { try p.write(bytes, at: block.place) }
        }
    }

    /// The payload was mapped and nothing leads to it.
    private static func discard(_ patch: ApplyPlan.Linked, _ options: SwitchOptions) {
        let process = patch.plan.process
        if process.isGone { return }
        let record = patch.payload.record
        // Where a write failed and could not be undone, a jump may lead there, and the
        // journal is open still.
        let state = try? process.payloadState(of: record)
        let isClosed = state.map { !$0.isSwitching } ?? false
        let isUnused =
            isClosed
            && record.detours.allSatisfy { detour in
                let found = try? detour.destination(in: process)
                return found.map { $0 != .code(detour.entry) && $0 != .code(detour.stub) } ?? false
            }
        guard isUnused else {
            return Logger(label: "hotpatch.apply").error(
                "the payload at \(record.extent.start) stays: a jump may lead to it")
        }
        do throws(LiveProcessError) {
            try PayloadInstaller(plan: patch.plan, options: options).remove(patch.payload)
        } catch {
            Logger(label: "hotpatch.apply").notice(
                "the unused payload at \(record.extent.start) stays mapped: \(error)")
        }
    }

    private static func only(_ reports: [SwitchReport]) throws(SwitchoverError) -> SwitchReport {
        guard let report = reports.first else { throw .refused([]) }
        return report
    }

    private static func ordered(
        _ reports: [SwitchReport], as patches: [PatchFile]
    ) -> [SwitchReport] {
        let names = patches.map(\.manifest.name)
        func position(_ report: SwitchReport) -> Int {
            names.firstIndex(of: report.patch) ?? names.count
        }
        return reports.sorted { position($0) < position($1) }
    }
}

// MARK: What every change of a process has in common

extension Switchover {
    /// Does what changes a process while no other instance of this tool can, and
    /// no signal comes in between. What an interrupted run has left behind is put
    /// right before.
    static func alone<R>(
        with process: TargetProcess, _ options: SwitchOptions,
        onTidying note: (RecoveryReport) -> Void = { _ in },
        _ work: () throws(SwitchoverError) -> R
    ) throws(SwitchoverError) -> R {
        try HeldSignals.during { () throws(SwitchoverError) in
            try process.withExclusiveAccess(
                timeout: options.timeout, failure: SwitchoverError.process,
                pause: { () throws(SwitchoverError) in
                    try HeldSignals.pause(.milliseconds(1))
                }
            ) { () throws(SwitchoverError) in
                do throws(SwitchoverError) {
                    // A process that is held has just been started, or is mapping a
                    // library: what earlier runs left there can wait.
                    if !process.isHeld { note(try tidyUp(process, options)) }
                    return try work()
                } catch .process(let error) {
                    throw .process(process.cause(of: error))
                }
            }
        }
    }

    /// Notes what is going to be written, writes it, and notes that it is done.
    static func carryOut(
        _ change: PatchSwitch, _ guards: SwitchGuards, in process: TargetProcess,
        _ options: SwitchOptions
    ) throws(SwitchoverError) -> SwitchWindow.Passage {
        let window = try window(change, guards, in: process, options, writes: true)
        options.observe(.noting)
        try process.looked { p throws(LiveProcessError) in try change.arm(in: p) }
        do throws(SwitchoverError) {
            let passage = try window.pass()
            options.observe(.tidying)
            if passage.isTidy { disarm(change, in: process, isDone: true) }
            options.observe(.done)
            return passage
        } catch {
            // A journal that is open tells `recover` what is left to do.
            if change.isUndone(in: process) { disarm(change, in: process, isDone: false) }
            throw error
        }
    }

    /// What is switched is switched, whether this succeeds or not; where it does
    /// not, `recover` finds nothing left to do but this.
    static func disarm(
        _ change: PatchSwitch, in process: TargetProcess, isDone: Bool
    ) {
        do throws(LiveProcessError) {
            try change.disarm(in: process, isDone: isDone, at: UInt64(clamping: time(nil)))
            if isDone { try change.noteVacancy(in: process) }
        } catch {
            if process.isGone { return }
            Logger(label: "hotpatch.switch").notice(
                "cannot close the journal in the payload: \(error)")
        }
    }

    private static func window(
        _ change: PatchSwitch, _ guards: SwitchGuards, in process: TargetProcess,
        _ options: SwitchOptions, writes: Bool
    ) throws(SwitchoverError) -> SwitchWindow {
        let found = try change.standing()
        return SwitchWindow(
            process: process, sequence: WriteSequence(change.changes, over: found),
            decision: change.participants.first?.record.decisionWord,
            marksOfLife: change.marksOfLife, guarded: guards.code, writes: writes,
            options: options)
    }

    static func report(
        _ outcome: SwitchReport.Outcome, _ record: PayloadRecord,
        since start: ContinuousClock.Instant, _ passage: SwitchWindow.Passage? = nil
    ) -> SwitchReport {
        SwitchReport(
            outcome: outcome, patch: record.name, digest: record.digest, base: record.base,
            symbols: record.detours.map(\.symbol), stop: passage?.stop,
            attempts: passage?.attempts ?? 0,
            duration: ContinuousClock().now - start)
    }
}

extension PatchSwitch {
    /// What has to stand at each place before the switch.
    fileprivate func standing() throws(SwitchoverError) -> [WriteSequence.Standing] {
        try changes.map { change throws(SwitchoverError) in
            guard let bytes = change.detour.bytes(leadingTo: change.before) else {
                throw .refused([.outOfReach(symbol: change.detour.symbol)])
            }
            return WriteSequence.Standing(site: bytes.site, island: bytes.island)
        }
    }
}

extension SwitchOptions {
    func observe(_ phase: SwitchPhase) { observer?(phase) }
}
