import Addresses
import LiveProcess
import PatchFile
import PatchLinker
import Quiescence

extension Switchover {
    /// Switches a patch out: the original bytes are written back. The payload
    /// stays mapped, since pointers to it may be anywhere in the program.
    public static func revert(
        _ name: String, in process: TargetProcess, options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> SwitchReport {
        let start = ContinuousClock().now
        return try alone(with: process, options) { () throws(SwitchoverError) in
            let all = try status(of: process)
            let patches = all.filter { $0.record.name == name }
            if let present = patches.first(where: { $0.state.isSwitchedIn }) {
                return try carryOut(present, process, options, since: start)
            }
            if let present = patches.first {
                return report(.alreadyReverted, present.record, since: start)
            }
            let applied = all.filter { $0.state.isSwitchedIn }.map(\.record.name)
            throw .refused([.notApplied(name: name, applied: applied)])
        }
    }

    /// Switches every patch of the process out, the latest first. Empty where
    /// none is switched in.
    public static func revertAll(
        in process: TargetProcess, options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> [SwitchReport] {
        try alone(with: process, options) { () throws(SwitchoverError) in
            var reports: [SwitchReport] = []
            let applied = try status(of: process).filter { $0.state.isSwitchedIn }
                .sorted { ($0.appliedAt ?? 0) > ($1.appliedAt ?? 0) }
            for patch in applied {
                let start = ContinuousClock().now
                reports.append(try carryOut(patch, process, options, since: start))
            }
            return reports
        }
    }

    private static func carryOut(
        _ patch: AppliedPatch, _ process: TargetProcess, _ options: SwitchOptions,
        since start: ContinuousClock.Instant
    ) throws(SwitchoverError) -> SwitchReport {
        let record = patch.record
        var edits: [SwitchWindow.Edit] = []
        for detour in record.detours {
            let jump = detour.jump ?? []
            let found = try process.looked { p throws(LiveProcessError) in
                try p.read(detour.site, count: detour.original.count)
            }
            // Where a run was interrupted, some sites are as they should be.
            if found == detour.original { continue }
            guard found == jump else {
                throw .refused([
                    .detourDiffers(symbol: detour.symbol, address: detour.site, found: found)
                ])
            }
            edits.append(
                .init(
                    symbol: detour.symbol, site: detour.site, from: jump, to: detour.original))
        }
        let window = SwitchWindow(
            process: process, edits: edits,
            guarded: guardedCode(record, allowsActive: options.allowsActiveOriginals),
            writes: true)
        return report(.reverted, record, since: start, try window.pass(timeout: options.timeout))
    }

    /// A thread at a site stands at the jump or behind it. A thread in the payload
    /// would go on there beside others in the original.
    private static func guardedCode(
        _ record: PayloadRecord, allowsActive: Bool
    ) -> GuardedCode {
        var stretches = record.detours.map {
            GuardedCode.Stretch.site($0.site, length: 5, of: $0.symbol)
        }
        if !allowsActive, let code = record.extent.codeRange,
            let stretch = GuardedCode.Stretch.piece(code, symbol: record.name)
        {
            stretches.append(stretch)
        }
        return GuardedCode(stretches)
    }
}
