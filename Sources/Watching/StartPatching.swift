import LiveProcess
import PatchFile
import Startup
import Switchover
import SystemPackage

/// Patches a thread that is held. It stands when this is done, or has ended.
struct StartPatching: Sendable {
    /// How long another instance of this tool is waited for that works on the process.
    private static let patience = Duration.milliseconds(200)
    /// How long a thread is led on, less than ``StartsInFlight/longestHold``.
    private static let way = Duration.milliseconds(1000)

    let bases: InstalledBases

    /// A program that stands at its exec stop, before its first instruction.
    func atExec(
        of process: ProcessID, _ series: InstalledBases.Series
    ) -> ProcessOutcome? {
        var patches = series.patches
        // While it is led on to the libraries that its patches refer to, nobody else can
        // hold it where it opens libraries that have patches themselves.
        let isLedOn = patches.contains { !$0.manifest.imports.isEmpty }
        if isLedOn { patches += bases.patchesOfLibraries }
        return outcome(of: process, .start, series) { () throws(LiveProcessError) in
            let thread = try HeldThread(atExecOf: process)
            let reports = StartPatches(patches, options: options(series), patience: Self.way)
                .patchAtExec(thread, awaitsLibraries: patches.count > series.patches.count)
            return (thread, reports)
        }
    }

    /// A thread on its way back from opening a library that it is going to map.
    func atOpening(
        _ thread: SeizedThread, _ series: InstalledBases.Series
    ) -> ProcessOutcome? {
        outcome(of: thread.process, .load, series) { () throws(LiveProcessError) in
            let held = try HeldThread(thread.thread, of: thread.process)
            let reports = StartPatches(
                series.patches, options: options(series), patience: Self.way
            ).patchAtMapping(held)
            return (held, reports)
        }
    }

    private func options(_ series: InstalledBases.Series) -> SwitchOptions {
        var options = SwitchOptions(timeout: Self.patience)
        options.images = series.images
        return options
    }

    /// Patches and lets go: what is told of it comes after.
    private func outcome(
        of process: ProcessID, _ occasion: ProcessOutcome.Occasion,
        _ series: InstalledBases.Series,
        _ patch: () throws(LiveProcessError) -> (HeldThread, [StartReport])
    ) -> ProcessOutcome? {
        let target = try? TargetProcess.find(process)
        let outcomes: [PatchOutcome]
        do throws(LiveProcessError) {
            let (thread, reports) = try patch()
            thread.release()
            outcomes = reports.compactMap(PatchOutcome.init)
        } catch {
            outcomes = series.patches.map {
                PatchOutcome($0, .failure(.process(error)))
            }
        }
        guard let target, !target.isGone, !outcomes.isEmpty else { return nil }
        return ProcessOutcome(
            process: process, startTime: target.startTime,
            executable: (try? target.executablePath().path) ?? "", occasion: occasion,
            outcomes: outcomes)
    }
}
