import Addresses
import Glibc
import LiveProcess
import Logging
import Quiescence

/// The moment in which the target stands still: every thread is judged, the
/// sites are compared once more, the new bytes are written and read back.
struct SwitchWindow {
    /// Bytes to write at a site, over what must stand there.
    struct Edit {
        let symbol: String
        let site: RemoteAddress
        let from: [UInt8]
        let to: [UInt8]
    }

    let process: TargetProcess
    let edits: [Edit]
    let guarded: GuardedCode
    /// false for a dry run: all but the writing.
    let writes: Bool

    private enum Ending {
        case written
        case busy
        case differs(Edit, found: [UInt8])
        case failed(Edit, LiveProcessError)
    }

    struct Passage {
        let stop: StopReport
        let attempts: Int
    }

    /// Tries until it is done or the time is up. Between the tries nothing of the
    /// target is stopped or traced: a thread that waits for a lock which a stopped
    /// thread holds would never leave the function.
    func pass(timeout: Duration) throws(SwitchoverError) -> Passage {
        let clock = ContinuousClock()
        let start = clock.now
        let deadline = start + timeout
        var pause = Duration.milliseconds(1)
        var attempts = 0
        var frames: CallChains?
        var stays = Stays()
        if writes { try prefault() }
        while true {
            attempts += 1
            let isLast = clock.now >= deadline
            var obstacle: SwitchoverError
            do throws(SwitchoverError) {
                let stop = try attempt(frames: frames, stays: &stays, isLast: isLast)
                return Passage(stop: stop, attempts: attempts)
            } catch .busy(let activities, _) {
                // Words on stacks look like return addresses. Whether they are takes
                // unwind tables: those of what is loaded now, and at least one more try.
                let isFirst = frames == nil
                frames = CallChains(process)
                if isFirst, frames != nil { continue }
                if let stuck = activities.filter(\.neverReturns).named(in: process).first {
                    throw .refused([.neverReturns(stuck)])
                }
                let waited = clock.now - start
                obstacle = .busy(
                    isLast ? stays.told(activities, within: waited).named(in: process) : activities,
                    waited: waited)
            } catch .process(.cannotStopNow(let id, let reason)) {
                let text = LiveProcessError.cannotStopNow(id, reason).description
                obstacle = .cannotStop(text, waited: clock.now - start)
            }
            if isLast { throw obstacle }
            Logger(label: "hotpatch.switch").debug("not yet: \(obstacle)")
            sleep(min(pause, deadline - clock.now))
            pause = min(pause * 2, .milliseconds(100))
        }
    }

    /// A first write to a page costs a copy of it; better now than in the stop.
    private func prefault() throws(SwitchoverError) {
        let map = try process.looked { p throws(LiveProcessError) in try p.memoryMap() }
        // What was code when the plan was made may be data by now.
        let sites = edits.filter { map.reasonAgainstWriting(at: $0.site) == nil }
            .compactMap { AddressRange(start: $0.site, count: UInt64($0.to.count)) }
        _ = try process.looked { p throws(LiveProcessError) in try p.prefault(text: sites) }
    }

    /// - Parameter isLast: whether to look at every thread although one was found
    ///   busy, so that the refusal names them all.
    private func attempt(
        frames: CallChains?, stays: inout Stays, isLast: Bool
    ) throws(SwitchoverError) -> StopReport {
        let map = try process.looked { p throws(LiveProcessError) in try p.memoryMap() }
        var judge = ThreadJudge(
            guarded, process: process, map: map, frames: frames, watched: stays.threads)
        let outcome = try process.looked { p throws(LiveProcessError) in
            try p.withAllThreadsStopped(
                judging: { thread in
                    judge.isQuiet(thread) || isLast ? .fine : .giveUp
                },
                { stopped in judge.isQuiet ? write(&stopped) : Ending.busy })
        }
        switch outcome {
        case .givenUp, .done(.busy, _):
            let activities = judge.activities()
            stays.note(activities, left: judge.left, at: ContinuousClock().now)
            throw .busy(activities, waited: .zero)
        case .done(.written, let report):
            if !report.hadRealTimePriority {
                Logger(label: "hotpatch.switch").notice(
                    "no real-time priority: the stall may be longer on a busy machine")
            }
            return report
        case .done(.differs(let edit, let found), _):
            throw .refused([
                .bytesDiffer(
                    symbol: edit.symbol, address: edit.site, expected: edit.from, found: found)
            ])
        case .done(.failed(let edit, let error), _):
            if case .writeNotSeen = error {
                let found = (try? process.read(edit.site, count: edit.to.count)) ?? []
                throw .verification(symbol: edit.symbol, address: edit.site, found: found)
            }
            throw .process(error)
        }
    }

    /// All sites or none.
    private func write(_ stopped: inout StoppedProcess) -> Ending {
        // Somebody else may have written since the plan was made.
        for edit in edits {
            do throws(LiveProcessError) {
                let found = try process.read(edit.site, count: edit.from.count)
                if found != edit.from { return .differs(edit, found: found) }
            } catch {
                return .failed(edit, error)
            }
        }
        guard writes else { return .written }
        for (index, edit) in edits.enumerated() {
            do throws(LiveProcessError) {
                try stopped.write(edit.to, at: edit.site)
            } catch {
                for done in edits[...index].reversed() { undo(done, &stopped) }
                return .failed(edit, error)
            }
        }
        return .written
    }

    private func undo(_ edit: Edit, _ stopped: inout StoppedProcess) {
        do throws(LiveProcessError) {
            try stopped.write(edit.from, at: edit.site)
        } catch {
            // The write that failed first is what the caller hears of; this one
            // failed in the same way, and `status` shows what stands.
            Logger(label: "hotpatch.switch").error("cannot put back '\(edit.symbol)': \(error)")
        }
    }

    private func sleep(_ duration: Duration) {
        guard duration > .zero else { return }
        let (seconds, attoseconds) = duration.components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        _ = unsafe nanosleep(&time, nil)
    }
}
