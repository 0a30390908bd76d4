import LiveProcess
import PatchFile
import Switchover

/// Patches that go into programs from their start, and into libraries from the
/// moment in which their code is mapped: before anything of them runs.
public struct StartPatches: Sendable {
    let patches: [PatchFile]
    let options: SwitchOptions
    let patience: Duration

    /// - Parameters:
    ///   - patches: those of one base go in one after the other, in this order.
    ///   - options: who uses the same for many programs reads each file once.
    ///     `timeout` is how long another instance of this tool that works on the
    ///     process is waited for.
    ///   - patience: how long a thread is led on. Its system calls may wait for anything,
    ///     such as a library on a file system that does not answer.
    public init(
        _ patches: [PatchFile], options: SwitchOptions = SwitchOptions(timeout: .milliseconds(200)),
        patience: Duration = .seconds(60)
    ) {
        self.patches = patches
        self.options = options
        self.patience = patience
    }

    /// Patches a program that stands at its exec (``HeldThread/init(atExecOf:)``),
    /// before its first instruction.
    ///
    /// Where a patch refers to libraries, the program is led on, from one system call
    /// of its dynamic linker to the next, until they are mapped; nothing but the
    /// dynamic linker runs meanwhile. It opens files then: whoever holds opens up by
    /// permission events must answer them on another OS thread.
    ///
    /// The thread stands still afterwards, unless it has ended or does not come out of
    /// a system call; ``HeldThread/release()`` lets it go in any case.
    ///
    /// - Parameters:
    ///   - process: the thread's, as ``TargetProcess/find(heldBy:)`` has found it.
    ///   - awaitsLibraries: whether patches of libraries are waited for in the same way.
    ///     Otherwise only patches of the program are put in.
    /// - Returns: a report for each patch of the program, and for all patches where
    ///   libraries are awaited, in the order in which the patches were given.
    public func patchAtExec(
        _ thread: HeldThread, of process: TargetProcess, awaitsLibraries: Bool
    ) -> [StartReport] {
        run(thread, process) { session throws(StartFailure) in
            try session.note(.atExec)
            if !awaitsLibraries { session.dropWhatIsNotMapped() }
            try session.leadToLibraries()
        }
    }

    /// Patches a library that the thread is about to map: it stands at a ptrace stop
    /// behind the open of the library's file (open(2), openat(2)), and has not been
    /// let go on. The thread is led on until the library's code is mapped, and until
    /// those libraries are that the patch refers to; only this thread stands still.
    ///
    /// Nothing is done where the file is closed again, or 64 system calls were made,
    /// and it was not mapped. As for what stands still afterwards, see
    /// ``patchAtExec(_:of:awaitsLibraries:)``.
    ///
    /// - Returns: a report for each patch whose base was mapped.
    public func patchAtMapping(_ thread: HeldThread, of process: TargetProcess) -> [StartReport] {
        run(thread, process) { session throws(StartFailure) in
            try session.note(.running)
            guard try session.leadToMapping() else { return session.dropAll() }
            session.dropWhatIsNotMapped()
            try session.leadToLibraries()
        }
    }

    private func run(
        _ thread: HeldThread, _ process: TargetProcess,
        _ work: (inout StartSession) throws(StartFailure) -> Void
    ) -> [StartReport] {
        var session: StartSession
        do throws(LiveProcessError) {
            session = try StartSession(self, thread, process)
        } catch {
            return patches.map { StartReport(patch: $0, outcome: .failure(.process(error))) }
        }
        do throws(StartFailure) {
            try work(&session)
        } catch {
            session.fail(error)
        }
        return session.reports
    }
}
