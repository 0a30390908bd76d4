import Addresses
import LiveProcess
import Logging
import PatchLinker
import Quiescence

/// What an interrupted run had left in a process, and what became of it.
public struct RecoveryReport: Equatable, Sendable {
    /// Patches whose switch was carried to its end.
    public var completed: [String] = []
    /// Patches whose switch was taken back.
    public var undone: [String] = []
    /// Payloads, or parts of them, that nothing had ever led to, unmapped.
    public var payloadsRemoved = 0
    /// Files in memory that the process still had open, closed.
    public var filesClosed = 0
    /// Stubs of remote system calls, cleared.
    public var stubsCleared = 0
    /// Stubs that a thread is still in.
    public var stubsKept = 0

    /// Whether there was nothing to do.
    public var isEmpty: Bool { self == RecoveryReport() }
}

extension Switchover {
    /// Puts right what an interrupted run left behind: a switch that was under way is
    /// carried to its end or taken back, as the program behaves at present, and
    /// what was mapped, opened or written for it and is of no use is taken out.
    ///
    /// Every other change of a process begins with the same.
    public static func recover(
        _ process: TargetProcess, options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> RecoveryReport {
        try process.looked { p throws(LiveProcessError) in
            try p.requireSupportedProgram()
            try p.requireUntraced()
            try p.requireNoCoreDump()
        }
        let damaged = try stack(of: process).damaged
        guard damaged.isEmpty else { throw .refused(damaged.map(\.refusal)) }
        var report = RecoveryReport()
        try alone(with: process, options, onTidying: { report = $0 }) { () in }
        return report
    }

    /// Finishes what must be finished before anything else is done to the process,
    /// and takes out what is of no use, as far as that is possible.
    static func tidyUp(
        _ process: TargetProcess, _ options: SwitchOptions
    ) throws(SwitchoverError) -> RecoveryReport {
        var report = RecoveryReport()
        let stack = try stack(of: process)
        for unfinished in try UnfinishedSwitch.all(in: stack, of: process) {
            try finish(unfinished, in: process, options)
            let names = unfinished.journal.participants.map(\.record.name)
            if unfinished.isForward { report.completed += names } else { report.undone += names }
        }
        try process.looked { p throws(LiveProcessError) in
            try stack.closeJournals(ofUnloadedIn: p)
        }
        let leftovers = try process.looked { p throws(LiveProcessError) in
            try Leftovers(in: p)
        }
        if !leftovers.isEmpty {
            try process.looked { p throws(LiveProcessError) in
                try leftovers.remove(from: p, options, noting: &report)
            }
        }
        if !report.isEmpty {
            Logger(label: "hotpatch.recover").notice(
                "process \(process.id): put right what an interrupted run had left: \(report)")
        }
        return report
    }

    private static func finish(
        _ unfinished: UnfinishedSwitch, in process: TargetProcess, _ options: SwitchOptions
    ) throws(SwitchoverError) {
        if !unfinished.changes.isEmpty {
            var guards = SwitchGuards()
            for change in unfinished.changes { guards.addPlaces(of: change) }
            for change in unfinished.journal.changes { guards.addStub(of: change.detour) }
            let window = SwitchWindow(
                process: process,
                sequence: WriteSequence(
                    tidying: unfinished.changes, over: unfinished.standing),
                decision: nil, marksOfLife: [], guarded: guards.code, writes: true,
                options: options)
            // What could not be written stays in the journal.
            guard try window.pass().isTidy else { return }
        }
        disarm(unfinished.journal, in: process, isDone: unfinished.isForward)
    }
}

/// A switch whose journal is open: the tool that made it is gone.
struct UnfinishedSwitch {
    /// What the journals say was to be done.
    private(set) var journal = PatchSwitch()
    /// Whether the program behaves as after the switch, and is to do so.
    private(set) var isForward = false
    /// What leads where it is to lead, but not directly, or has left bytes on an
    /// island.
    private(set) var changes: [PatchSwitch.Change] = []
    /// What stands at the places of these.
    private(set) var standing: [WriteSequence.Standing] = []

    /// Every one in the process. What a journal says is checked: the process may
    /// have written there.
    ///
    /// Throws `refused` where a journal makes no sense and jumps are in the way, or
    /// `process`.
    static func all(
        in stack: PatchStack, of process: TargetProcess
    ) throws(SwitchoverError) -> [UnfinishedSwitch] {
        var numbers: [RemoteAddress: [Int]] = [:]
        for (number, payload) in stack.payloads.enumerated() where payload.state.isSwitching {
            numbers[payload.state.decision, default: []].append(number)
        }
        var all: [UnfinishedSwitch] = []
        for (_, participants) in numbers.sorted(by: { $0.key < $1.key }) {
            all.append(try UnfinishedSwitch(of: participants, in: stack, process))
        }
        return all
    }

    private init(
        of participants: [Int], in stack: PatchStack, _ process: TargetProcess
    ) throws(SwitchoverError) {
        guard let first = participants.first else { return }
        // The leader first, as when it was armed. Its object may be gone by now.
        func leads(_ number: Int) -> Bool {
            let payload = stack.payloads[number]
            return payload.record.decisionWord == payload.state.decision
        }
        for number in participants where leads(number) {
            try note(stack.payloads[number], among: stack)
        }
        for number in participants where !leads(number) {
            try note(stack.payloads[number], among: stack)
        }
        let found = try journal.changes.map { change throws(SwitchoverError) in
            try process.looked { p throws(LiveProcessError) in
                try change.detour.standing(in: p)
            }
        }
        let destinations = zip(journal.changes, found).map { change, found in
            change.detour.destination(site: found.site, island: found.island)
        }
        for (change, destination) in zip(journal.changes, destinations) {
            let known: [PatchSwitch.Destination] = [
                change.before, change.after, .code(change.detour.stub),
            ]
            guard let destination, known.contains(destination) else {
                guard let obstacle = stack.obstacle(at: change.detour) else {
                    throw Self.damaged(participants, stack)
                }
                throw .refused([obstacle])
            }
        }
        // One write within a page needs no word to be decided.
        let isAfter = zip(journal.changes, destinations).allSatisfy { $0.after == $1 }
        let isBefore = zip(journal.changes, destinations).allSatisfy { $0.before == $1 }
        let isDecided = stack.isDecided(stack.payloads[first])
        // Without the word, only where nothing goes by it.
        guard isDecided != nil || isAfter || isBefore else {
            throw Self.damaged(participants, stack)
        }
        isForward = isDecided ?? false || isAfter && !journal.changes.isEmpty
        for (index, change) in journal.changes.enumerated() {
            guard let now = destinations[index] else { continue }
            let goal = isForward ? change.after : change.before
            guard let bytes = change.detour.bytes(leadingTo: goal) else { continue }
            if bytes.site == found[index].site, bytes.island == found[index].island { continue }
            changes.append(
                .init(
                    host: change.host, index: change.index, detour: change.detour, before: now,
                    after: goal))
            standing.append(found[index])
        }
    }

    /// Adds what one payload's journal says.
    private mutating func note(
        _ payload: PresentPayload, among stack: PatchStack
    ) throws(SwitchoverError) {
        for (index, entry) in payload.state.entries.enumerated() {
            let detour = payload.record.detours[index]
            guard let before = detour.destination(of: entry.before),
                let after = detour.destination(of: entry.after)
            else { continue }
            for case .code(let address) in [before, after] {
                guard stack.hasEntry(address, forSite: detour.site) else {
                    throw .refused([.damagedJournal(name: payload.record.name)])
                }
            }
            journal.add(index, of: payload.record, payload.state, from: before, to: after)
        }
    }

    private static func damaged(_ participants: [Int], _ stack: PatchStack) -> SwitchoverError {
        .refused(
            participants.map { .damagedJournal(name: stack.payloads[$0].record.name) })
    }
}

extension PatchStack {
    /// Of a switch that an object took part in which is gone, there is nothing left to
    /// be done; and nothing is to be done should it come back to the same place.
    fileprivate func closeJournals(ofUnloadedIn process: TargetProcess) throws(LiveProcessError) {
        for payload in unloaded where payload.state.isSwitching {
            guard let place = payload.record.statePlace else { continue }
            var state = payload.state
            state.isSwitching = false
            try process.write(state.head, at: place)
        }
    }

    /// Whether a detour for `site` leads to `address`.
    func hasEntry(_ address: RemoteAddress, forSite site: RemoteAddress) -> Bool {
        payloads.contains { payload in
            payload.record.detours.contains { $0.site == site && $0.entry == address }
        }
    }
}

extension PayloadRecord.Detour {
    /// The bytes at the site and on the island.
    func standing(
        in process: TargetProcess
    ) throws(LiveProcessError) -> WriteSequence.Standing {
        WriteSequence.Standing(
            site: try process.read(site, count: original.count),
            island: try island.map { island throws(LiveProcessError) in
                try process.read(island.address, count: 5)
            })
    }
}
