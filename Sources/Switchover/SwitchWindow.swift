import Addresses
import Glibc
import LiveProcess
import Logging
import PatchLinker
import Quiescence

/// The moment in which the target stands still: every thread is judged, the
/// sites are compared once more, the new bytes are written and read back.
struct SwitchWindow {
    let process: TargetProcess
    let sequence: WriteSequence
    /// The word that decides, where the sequence needs one.
    let decision: RemoteAddress?
    /// Words that become 1 before anything leads to a payload.
    let marksOfLife: [RemoteAddress]
    let guarded: GuardedCode
    /// false for a dry run: all but the writing.
    let writes: Bool
    let options: SwitchOptions

    private enum Ending {
        case written(isTidy: Bool)
        case differs(symbol: String, RemoteAddress, expected: [UInt8], found: [UInt8])
        case failed(RemoteAddress, LiveProcessError)
    }

    struct Passage {
        let stop: StopReport
        var attempts: Int
        /// false where the functions lead where they were to lead, but not all of
        /// them directly: a write failed behind the point of no return.
        let isTidy: Bool
    }

    /// Tries until it is done or the time is up. Between the tries nothing of the
    /// target is stopped or traced: a thread that waits for a lock which a stopped
    /// thread holds would never leave the function.
    func pass() throws(SwitchoverError) -> Passage {
        let clock = ContinuousClock()
        let start = clock.now
        let deadline = start + options.timeout
        var pause = Duration.milliseconds(1)
        var attempts = 0
        var frames: CallChains?
        var stays = Stays()
        // Of a process that is held, nobody waits for the threads that stand.
        if writes, !process.isHeld { try prefault() }
        while true {
            attempts += 1
            let isLast = clock.now >= deadline
            var obstacle: SwitchoverError
            do throws(SwitchoverError) {
                var passage = try attempt(frames: frames, stays: &stays, isLast: isLast)
                passage.attempts = attempts
                return passage
            } catch .busy(let activities, _) {
                // Words on stacks look like return addresses. Whether they are takes
                // unwind tables: those of what is loaded now, and at least one more try.
                let isFirst = frames == nil
                let tables = process.payloadUnwindTables()
                frames = CallChains(process, tables: tables)
                if isFirst, frames != nil { continue }
                if let stuck = activities.first(where: \.neverReturns) {
                    let named = [stuck].named(in: process, tables: tables)
                    throw .refused(named.map { .neverReturns($0) })
                }
                let waited = clock.now - start
                obstacle = .busy(
                    isLast
                        ? stays.told(activities, within: waited).named(in: process, tables: tables)
                        : activities,
                    waited: waited)
            } catch .process(.cannotStopNow(let id, let reason)) {
                let text = LiveProcessError.cannotStopNow(id, reason).description
                obstacle = .cannotStop(text, waited: clock.now - start)
            }
            if isLast { throw obstacle }
            Logger(label: "hotpatch.switch").debug("not yet: \(obstacle)")
            try HeldSignals.pause(min(pause, deadline - clock.now))
            pause = min(pause * 2, .milliseconds(100))
        }
    }

    /// A first write to a page costs a copy of it; better now than in the stop.
    private func prefault() throws(SwitchoverError) {
        let map = try process.looked { p throws(LiveProcessError) in try p.memoryMap() }
        // What was code when the plan was made may be data by now.
        let places = sequence.pages.map(\.range).filter {
            map.reasonAgainstWriting(at: $0.start) == nil
        }
        _ = try process.looked { p throws(LiveProcessError) in try p.prefault(text: places) }
    }

    /// What is guarded, in a process with that map: where functions are, what probes hide
    /// counts too.
    private func guarded(in map: MemoryMap) -> GuardedCode {
        guard guarded.stretches.contains(where: { $0.degree == .function }) else { return guarded }
        let probes = map.regions.filter { $0.path == GuardedCode.Stretch.probesName }
            .compactMap { GuardedCode.Stretch.probes($0.range) }
        return probes.isEmpty ? guarded : GuardedCode(guarded.stretches + probes)
    }

    /// - Parameter isLast: whether to look at other threads although one was found
    ///   busy, so that the refusal names them.
    private func attempt(
        frames: CallChains?, stays: inout Stays, isLast: Bool
    ) throws(SwitchoverError) -> Passage {
        var judge = try judge(frames, stays)
        options.observe(.stopping)
        let outcome = try process.looked { p throws(LiveProcessError) in
            try p.withAllThreadsStopped(
                judging: { thread in
                    let isQuiet = judge?.isQuiet(thread) ?? true
                    return isQuiet || (isLast && judge?.isFull == false) ? .fine : .giveUp
                },
                rehearsing: { _ = comparePages() },
                { stopped in
                    let ending = judge?.isQuiet ?? true ? write(&stopped) : nil
                    options.observe(.releasing)
                    return ending
                })
        }
        guard case .done(let ending?, let report) = outcome else {
            let activities = judge?.activities() ?? []
            stays.note(activities, left: judge?.left ?? [], at: ContinuousClock().now)
            throw .busy(activities, waited: .zero)
        }
        return try passage(ending, report)
    }

    /// nil for a process that is held: no thread has run what is written to.
    private func judge(
        _ frames: CallChains?, _ stays: Stays
    ) throws(SwitchoverError) -> ThreadJudge? {
        if process.isHeld { return nil }
        let map = try process.looked { p throws(LiveProcessError) in try p.memoryMap() }
        return ThreadJudge(
            guarded(in: map), process: process, map: map, frames: frames, watched: stays.threads)
    }

    private func passage(
        _ ending: Ending, _ report: StopReport
    ) throws(SwitchoverError) -> Passage {
        switch ending {
        case .written(let isTidy):
            if !report.hadRealTimePriority {
                Logger(label: "hotpatch.switch").notice(
                    "no real-time priority: the stall may be longer on a busy machine")
            }
            return Passage(stop: report, attempts: 1, isTidy: isTidy)
        case .differs(let symbol, let address, let expected, let found):
            throw .refused([
                .bytesDiffer(symbol: symbol, address: address, expected: expected, found: found)
            ])
        case .failed(let address, let error):
            if case .writeNotSeen = error {
                let found = (try? process.read(address, count: 5)) ?? []
                let symbol = sequence.symbol(at: address) ?? "?"
                throw .verification(symbol: symbol, address: address, found: found)
            }
            throw .process(error)
        }
    }

    /// All sites or none.
    private func write(_ stopped: inout StoppedProcess) -> Ending {
        options.observe(.comparing)
        var memory: [[UInt8]]
        switch comparePages() {
        case .same(let found): memory = found
        case .not(let ending): return ending
        }
        guard writes else { return .written(isTidy: true) }
        var isDecided = false
        do throws(WriteFailure) {
            for mark in marksOfLife { try write(Self.one, at: mark, &stopped) }
            for step in sequence.steps {
                try perform(step, &memory, &stopped)
                isDecided = isDecided || step.isDecisive
            }
            return .written(isTidy: true)
        } catch {
            // Once it is decided the program runs as after the switch, whatever of
            // it goes by way of stubs.
            if isDecided {
                Logger(label: "hotpatch.switch").error(
                    "switched, but not all of it: \(error.cause)")
                return .written(isTidy: false)
            }
            undo(&stopped)
            return .failed(error.address, error.cause)
        }
    }

    private enum Comparison {
        case same([[UInt8]])
        case not(Ending)
    }

    /// Somebody else may have written since the plan was made.
    private func comparePages() -> Comparison {
        var memory: [[UInt8]] = []
        memory.reserveCapacity(sequence.pages.count)
        for page in sequence.pages {
            do throws(LiveProcessError) {
                let found = try process.read(page.range.start, count: Int(page.range.count))
                if let (symbol, address, expected, found) = page.difference(in: found) {
                    return .not(
                        .differs(symbol: symbol, address, expected: expected, found: found))
                }
                memory.append(found)
            } catch {
                return .not(.failed(page.range.start, error))
            }
        }
        return .same(memory)
    }

    private struct WriteFailure: Error {
        let address: RemoteAddress
        let cause: LiveProcessError
    }

    private static let one: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0]

    private func perform(
        _ step: WriteSequence.Step, _ memory: inout [[UInt8]], _ stopped: inout StoppedProcess
    ) throws(WriteFailure) {
        switch step {
        case .decide:
            options.observe(.deciding)
            if let decision { try write(Self.one, at: decision, &stopped) }
        case .write(let phase, let writes):
            options.observe(phase.switchPhase)
            for write in writes {
                for edit in write.edits {
                    memory[write.page].replaceSubrange(
                        edit.offset..<edit.offset + edit.bytes.count, with: edit.bytes)
                }
                let range = write.extent
                try self.write(
                    Array(memory[write.page][range]),
                    at: sequence.pages[write.page].range.start.advanced(
                        by: UInt64(range.lowerBound)) ?? sequence.pages[write.page].range.start,
                    &stopped)
            }
        }
    }

    private func write(
        _ bytes: [UInt8], at address: RemoteAddress, _ stopped: inout StoppedProcess
    ) throws(WriteFailure) {
        do throws(LiveProcessError) {
            try stopped.write(bytes, at: address)
        } catch {
            throw WriteFailure(address: address, cause: error)
        }
    }

    /// Puts all places back as they were found; islands last, when nothing leads
    /// there any more. All that was written leads to what was before, by way of
    /// stubs or not, and each page is one write: a death in between does no harm.
    private func undo(_ stopped: inout StoppedProcess) {
        for islands in [false, true] {
            for page in sequence.pages {
                let places = page.places.filter { $0.isIsland == islands }
                do throws(WriteFailure) {
                    try restore(places, &stopped)
                } catch {
                    // The write that failed first is what the caller hears of; this
                    // one failed in the same way, and the journal stays open.
                    Logger(label: "hotpatch.switch").error("cannot put back: \(error.cause)")
                }
            }
        }
    }

    /// Restores places of one page, which come in ascending order.
    private func restore(
        _ places: [WriteSequence.Place], _ stopped: inout StoppedProcess
    ) throws(WriteFailure) {
        guard let first = places.first, let last = places.last else { return }
        let start = first.address
        let count = Int(last.address.distance(from: start) ?? 0) + last.bytes.count
        var bytes: [UInt8]
        do throws(LiveProcessError) { bytes = try process.read(start, count: count) } catch {
            throw WriteFailure(address: start, cause: error)
        }
        for place in places {
            let offset = Int(place.address.distance(from: start) ?? 0)
            bytes.replaceSubrange(offset..<offset + place.bytes.count, with: place.bytes)
        }
        try write(bytes, at: start, &stopped)
    }
}

extension WriteSequence.Step {
    /// Whether the program runs as after the switch once it is done.
    fileprivate var isDecisive: Bool {
        switch self {
        case .decide, .write(.jumps, _): true
        case .write: false
        }
    }
}

extension WriteSequence.Phase {
    fileprivate var switchPhase: SwitchPhase {
        switch self {
        case .islands: .writingIslands
        case .stubs: .writingStubs
        case .jumps: .writingJumps
        case .padding: .writingPadding
        }
    }
}

extension WriteSequence.PageWrite {
    /// From the first to the last byte that changes.
    fileprivate var extent: Range<Int> {
        let start = edits.map(\.offset).min() ?? 0
        let end = edits.map { $0.offset + $0.bytes.count }.max() ?? start
        return start..<end
    }
}

extension WriteSequence {
    fileprivate func symbol(at address: RemoteAddress) -> String? {
        places.first { $0.address == address }?.symbol
    }
}

extension WriteSequence.Page {
    /// The first place where `found`, what the page has, is not as expected.
    fileprivate func difference(
        in found: [UInt8]
    ) -> (symbol: String, address: RemoteAddress, expected: [UInt8], found: [UInt8])? {
        for place in places {
            let offset = Int(place.address.distance(from: range.start) ?? 0)
            let bytes = Array(found[offset..<offset + place.bytes.count])
            if bytes != place.bytes { return (place.symbol, place.address, place.bytes, bytes) }
        }
        return nil
    }
}
