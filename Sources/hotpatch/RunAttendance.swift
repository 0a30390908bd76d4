import Glibc
import HotpatchKit
import SystemPackage

/// What the attendant of `run` does: patches the program, or sees to it that it does
/// not run, tells what came of it, and is gone.
struct RunAttendance {
    let patches: RunPatches
    /// What is to be patched.
    let program: RunnableFile
    /// The command is another program, which is going to run that one.
    let isAwaited: Bool
    /// Patches that cannot be put in do not keep the program from running.
    let startsUnpatched: Bool
    let allowsSeccomp: Bool
    let trail: AuditTrail

    func attend(_ thread: ThreadBeforeExec) {
        do throws(LiveProcessError) {
            guard let held = try awaitProgram(thread) else { return }
            // Should this hang in the file system of a server that is gone, the program
            // must not hang with it: when this ends, the kernel lets it go.
            alarm(30)
            try patch(held)
        } catch {
            StandardError.write(
                "hotpatch: warning: '\(program.shownPath)' runs unpatched: "
                    + "\(error.description.printable) [\(error.code)]\n")
        }
    }

    /// nil where the process ended before.
    private func awaitProgram(_ thread: ThreadBeforeExec) throws(LiveProcessError) -> HeldThread? {
        let wanted = program.file
        var thread = thread
        while case .exec(let held) = try thread.awaitExec() {
            if !isAwaited { return held }
            if let wanted, try TargetProcess.find(heldBy: held).programFile() == wanted {
                return held
            }
            thread = try ThreadBeforeExec(running: held)
        }
        if isAwaited {
            StandardError.write(
                "hotpatch: warning: process \(thread.process) ended before it ran "
                    + "'\(program.shownPath)' (--until); nothing was patched\n")
        }
        return nil
    }

    private func patch(_ held: HeldThread) throws(LiveProcessError) {
        let process = try TargetProcess.find(heldBy: held)
        let options = SwitchOptions(
            timeout: .milliseconds(200),
            seccomp: Attendant.seccompPolicy(for: process, suspending: allowsSeccomp))
        let reports = StartPatches(patches.files, options: options)
            .patchAtExec(held, of: process, awaitsLibraries: true)
            .filter(patches.concern)
        trail.note(reports.map { event($0, process) })
        let failures = reports.compactMap(\.failure)
        for failure in failures { tell(failure) }
        if let first = failures.first, !startsUnpatched {
            StandardError.write("hotpatch: '\(program.shownPath)' was not started\n")
            held.endProcess(status: UInt8(first.status.rawValue))
        } else {
            if reports.isEmpty { patches.tellNothingIsFor(program) }
            held.release()
        }
        // The program does not wait for the disk.
        trail.finish()
    }

    private func tell(_ failure: Failure) {
        let severity = startsUnpatched ? "warning: '\(program.shownPath)' runs without it: " : ""
        StandardError.write("hotpatch: \(severity)\(failure.message.printable) [\(failure.code)]\n")
    }

    private func event(_ report: StartReport, _ process: TargetProcess) -> AuditEvent {
        var event: AuditEvent
        switch report.outcome {
        case .success(let success):
            event = trail.event(.apply, result: success.outcome.rawValue)
        case .failure(let error):
            let failure = Failure(error)
            event = trail.event(.apply, result: failure.status.word)
            event.code = failure.code
            event.message = failure.message
        }
        event.patch = report.patch.manifest.name
        event.digest = PatchID(report.patch).digest
        event.base = "\(report.patch.manifest.base.identity)"
        event.process = AuditEvent.Process(process)
        return event
    }
}

extension StartReport {
    fileprivate var failure: Failure? {
        guard case .failure(let error) = outcome else { return nil }
        return Failure(error)
    }
}
