import LiveProcess
import PatchFile
import Synchronization
import SystemPackage
import Threads

/// Serves one start: finds out whether it matters, holds the thread, answers the
/// kernel, has it patched and lets it go. All of it on an OS thread of its own, since
/// ptrace answers only the one that seized; the thread that asks the kernel never waits.
struct StartKeeper: Sendable {
    let bases: InstalledBases
    let identities: FileIdentities
    let starts: StartsInFlight
    let mode: WatchMode
    let caretaker: Mailbox
    let threads = ServingThreads()

    /// Takes care of the question, and returns at once.
    func take(_ question: StartQuestion) {
        // A thread of this process waits for its answer, or one that nobody could hold.
        guard question.thread.rawValue > 0, !question.isOwn else { return question.allow() }
        guard let start = starts.begin(question) else {
            let process = question.thread.process
            question.allow()
            if let process { caretaker.post(.startMissed(process)) }
            return
        }
        do throws(Errno) {
            try threads.run {
                start.server.store(OSThread.current, ordering: .relaxed)
                serve(start)
            }
        } catch {
            let process = question.thread.process
            starts.end(start)
            if let process { caretaker.post(.startMissed(process)) }
        }
    }

    private func serve(_ start: Start) {
        let message = outcome(of: start)
        starts.end(start)
        if let message { caretaker.post(message) }
    }

    private func outcome(of start: Start) -> Mailbox.Message? {
        let question = start.question
        guard let identity = identities.identity(of: question.descriptor),
            let series = bases[identity], series.base.occasion == question.occasion
        else { return nil }
        // While it waits: an exec by a thread that is not the first takes its number away.
        guard let process = question.thread.process else { return nil }
        // Not a program that loads the library, but the library as a dynamic linker.
        if question.occasion == .opening, question.thread.isRunningProgram {
            return .startMissed(process)
        }
        if mode == .lateExecPermission { question.allow() }
        do throws(Errno) {
            start.enter(.seizing)
            let thread = try SeizedThread(question.thread, of: process)
            let isInTime = !question.isAnswered
            start.enter(.answered)
            question.allow()
            let stop = try thread.waitForStop(atMost: StartsInFlight.longestWayToStop)
            defer { thread.release(after: stop) }
            // Answered before, it may be anywhere by now.
            guard isInTime || stop == .exec else { return .startMissed(process) }
            return patch(thread, at: stop, series, start)
        } catch {
            // Another one traces it, or it is gone.
            return .startMissed(process)
        }
    }

    private func patch(
        _ thread: SeizedThread, at stop: SeizedThread.Stop, _ series: InstalledBases.Series,
        _ start: Start
    ) -> Mailbox.Message? {
        start.enter(.held)
        let patching = StartPatching(bases: bases)
        do throws(LiveProcessError) {
            switch (stop, start.question.occasion) {
            case (.exec, .execution):
                return try patching.atExec(of: thread.process, series).map(Mailbox.Message.served)
            case (.returning, .opening):
                return try patching.atOpening(thread, series).map(Mailbox.Message.served)
            case (.lateExec, _), (.exec, .opening), (.none, _):
                return .startMissed(thread.process)
            case (.returning, .execution), (.ended, _):
                // The exec failed.
                return nil
            }
        } catch {
            // It has ended, most likely; otherwise it is looked at as it runs.
            return .startMissed(thread.process)
        }
    }
}
