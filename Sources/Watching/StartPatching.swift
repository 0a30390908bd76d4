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
    ///
    /// Throws what keeps it from being led on; nothing was changed.
    func atExec(
        of process: ProcessID, _ series: InstalledBases.Series
    ) throws(LiveProcessError) -> ProcessOutcome? {
        var patches = series.patches
        // While it is led on to the libraries that its patches refer to, nobody else can
        // hold it where it opens libraries that have patches themselves.
        let isLedOn = patches.contains { !$0.manifest.libraries.isEmpty }
        if isLedOn { patches += bases.patchesOfLibraries }
        return try outcome(of: try HeldThread(atExecOf: process), .start) { thread, process in
            StartPatches(patches, options: options(series), patience: Self.way)
                .patchAtExec(
                    thread, of: process, awaitsLibraries: patches.count > series.patches.count)
        }
    }

    /// A thread on its way back from opening a library that it is going to map.
    ///
    /// Throws what keeps it from being led on; nothing was changed.
    func atOpening(
        _ thread: SeizedThread, _ series: InstalledBases.Series
    ) throws(LiveProcessError) -> ProcessOutcome? {
        let held = try HeldThread(thread.thread, of: thread.process)
        return try outcome(of: held, .load) { held, process in
            StartPatches(series.patches, options: options(series), patience: Self.way)
                .patchAtMapping(held, of: process)
        }
    }

    private func options(_ series: InstalledBases.Series) -> SwitchOptions {
        var options = SwitchOptions(timeout: Self.patience)
        options.images = series.images
        options.preparations = series.preparations
        return options
    }

    /// Patches and lets go: what is told of it comes after.
    private func outcome(
        of thread: HeldThread, _ occasion: ProcessOutcome.Occasion,
        _ patch: (HeldThread, TargetProcess) -> [StartReport]
    ) throws(LiveProcessError) -> ProcessOutcome? {
        // While it is there for certain: a program may have ended a moment later.
        let process = try TargetProcess.find(heldBy: thread)
        let executable = (try? process.executablePath().path) ?? ""
        let reports = patch(thread, process)
        thread.release()
        let outcomes = reports.compactMap(PatchOutcome.init)
        let isDone = outcomes.allSatisfy { if case .success = $0.result { true } else { false } }
        if outcomes.isEmpty || (!isDone && process.isGone) { return nil }
        return ProcessOutcome(
            process: process.id, startTime: process.startTime, executable: executable,
            occasion: occasion, outcomes: outcomes)
    }
}
