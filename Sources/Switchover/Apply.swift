import Addresses
import Glibc
import LiveProcess
import Logging
import PatchFile
import PatchLinker

extension Switchover {
    /// Switches a patch in.
    ///
    /// Everything slow is done while the process runs: it is looked at, the patch
    /// is linked and mapped beside the code that it replaces. Then the threads are
    /// stopped, and where none is in the way, the jumps are written. On failure the
    /// process is as it was.
    public static func apply(
        _ patch: PatchFile, to process: TargetProcess, options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> SwitchReport {
        let start = ContinuousClock().now
        return try alone(with: process, options) { () throws(SwitchoverError) in
            switch try plan(patch, for: process, options) {
            case .alreadyApplied(let present):
                return report(.alreadyApplied, present.record, since: start)
            case .possible(let plan):
                return try carryOut(plan, options, since: start)
            }
        }
    }

    /// Does what changes a process while no other instance of this tool can.
    static func alone<R>(
        with process: TargetProcess, _ options: SwitchOptions,
        _ work: () throws(SwitchoverError) -> R
    ) throws(SwitchoverError) -> R {
        try process.withExclusiveAccess(
            timeout: options.timeout, failure: SwitchoverError.process, work)
    }

    /// Does all that `apply` does but for mapping the patch and writing.
    public static func check(
        _ patch: PatchFile, in process: TargetProcess, options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> SwitchReport {
        let start = ContinuousClock().now
        switch try plan(patch, for: process, options) {
        case .alreadyApplied(let present):
            return report(.alreadyApplied, present.record, since: start)
        case .possible(let plan):
            let installer = PayloadInstaller(plan: plan, seccomp: options.seccomp)
            let payload: LinkedPayload
            if let kept = plan.kept {
                payload = kept
            } else {
                payload = try installer.linkedAnywhere()
            }
            let passage = try window(plan, payload, writes: false).pass(timeout: options.timeout)
            return report(.possible, payload.record, since: start, passage)
        }
    }

    private static func plan(
        _ patch: PatchFile, for process: TargetProcess, _ options: SwitchOptions
    ) throws(SwitchoverError) -> ApplyPlan.Verdict {
        try process.looked { p throws(LiveProcessError) in
            try p.requireSupportedProgram()
            try p.requireUntraced()
        }
        let verdict = try ApplyPlan.make(patch, for: process, options: options)
        if case .possible(let plan) = verdict, plan.kept == nil, !options.allowsSeccomp {
            try process.looked { p throws(LiveProcessError) in try p.requireNoSeccompFilter() }
        }
        return verdict
    }

    private static func carryOut(
        _ plan: ApplyPlan, _ options: SwitchOptions, since start: ContinuousClock.Instant
    ) throws(SwitchoverError) -> SwitchReport {
        let installer = PayloadInstaller(plan: plan, seccomp: options.seccomp)
        let payload: LinkedPayload
        if let kept = plan.kept { payload = kept } else { payload = try installer.install() }
        let passage: SwitchWindow.Passage
        do throws(SwitchoverError) {
            passage = try window(plan, payload, writes: true).pass(timeout: options.timeout)
        } catch {
            if plan.kept == nil { discard(payload, by: installer) }
            throw error
        }
        noteTime(in: payload.record, of: plan.process)
        return report(.applied, payload.record, since: start, passage)
    }

    private static func window(
        _ plan: ApplyPlan, _ payload: LinkedPayload, writes: Bool
    ) -> SwitchWindow {
        let edits = payload.record.detours.map { detour in
            SwitchWindow.Edit(
                symbol: detour.symbol, site: detour.site, from: detour.original,
                // The linker has checked that the jump reaches.
                to: detour.jump ?? detour.original)
        }
        return SwitchWindow(
            process: plan.process, edits: edits, guarded: plan.guarded, writes: writes)
    }

    /// The payload was mapped and nothing leads to it.
    private static func discard(_ payload: LinkedPayload, by installer: PayloadInstaller) {
        // Where a write failed and could not be undone, a jump may lead there.
        let isUnused = payload.record.detours.allSatisfy { detour in
            let found = try? installer.plan.process.read(
                detour.site, count: detour.original.count)
            return found == detour.original
        }
        guard isUnused else {
            return Logger(label: "hotpatch.apply").error(
                "the payload at \(payload.record.extent.start) stays: a jump may lead to it")
        }
        do throws(LiveProcessError) {
            try installer.remove(payload)
        } catch {
            Logger(label: "hotpatch.apply").notice(
                "the unused payload at \(payload.record.extent.start) stays mapped: \(error)")
        }
    }

    /// For `status`. The patch is in, whether this succeeds or not.
    private static func noteTime(in record: PayloadRecord, of process: TargetProcess) {
        guard let place = record.extent.writableRange?.start else { return }
        let now = UInt64(clamping: time(nil))
        do throws(LiveProcessError) {
            try process.write(PayloadState.bytes(appliedAt: now), at: place)
        } catch {
            Logger(label: "hotpatch.apply").notice("cannot note the time in the payload: \(error)")
        }
    }

    static func report(
        _ outcome: SwitchReport.Outcome, _ record: PayloadRecord,
        since start: ContinuousClock.Instant, _ passage: SwitchWindow.Passage? = nil
    ) -> SwitchReport {
        SwitchReport(
            outcome: outcome, patch: record.name, symbols: record.detours.map(\.symbol),
            stop: passage?.stop, attempts: passage?.attempts ?? 0,
            duration: ContinuousClock().now - start)
    }
}

extension SwitchOptions {
    var seccomp: SeccompPolicy { allowsSeccomp ? .suspend : .refuse }
}
