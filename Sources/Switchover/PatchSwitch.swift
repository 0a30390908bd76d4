import Addresses
import LiveProcess
import PatchLinker

/// Functions that are led elsewhere at one moment, all or none, and the payloads
/// whose stubs and journals see to that.
struct PatchSwitch {
    typealias Destination = PayloadRecord.Detour.Destination

    /// One function.
    struct Change {
        /// The number of the participant by whose detour it is switched.
        let host: Int
        /// The detour's number in the participant's record.
        let index: Int
        let detour: PayloadRecord.Detour
        let before: Destination
        let after: Destination
        /// Where it is to lead when the patch is taken out again; nil where that
        /// stays as it is noted.
        var beneath: Destination?
    }

    /// A payload with a part in the switch, as its state was before.
    struct Participant {
        let record: PayloadRecord
        let state: PayloadState
    }

    /// The first leads: its word decides.
    private(set) var participants: [Participant] = []
    private(set) var changes: [Change] = []
    /// Payloads that the switch leaves, and whose code is guarded.
    var vacated: [PayloadRecord] = []

    /// Adds a function, switched by a detour of `record`.
    mutating func add(
        _ index: Int, of record: PayloadRecord, _ state: PayloadState, from before: Destination,
        to after: Destination, over beneath: Destination? = nil
    ) {
        var host = participants.firstIndex { $0.record.extent.start == record.extent.start }
        if host == nil {
            host = participants.count
            participants.append(Participant(record: record, state: state))
        }
        changes.append(
            Change(
                host: host ?? 0, index: index, detour: record.detours[index], before: before,
                after: after, beneath: beneath))
    }

    /// A function that must be switched by way of its stub and cannot be, since
    /// its first instructions cannot run elsewhere; nil where none is.
    var obstacle: Change? {
        if WriteSequence.isOneWrite(changes) { return nil }
        return changes.first {
            ($0.before == .original || $0.after == .original) && $0.detour.moved == nil
        }
    }
}

// MARK: The journal

extension PatchSwitch {
    /// Notes in the payloads what is going to be written and what stands there,
    /// before anything of the target is stopped.
    ///
    /// The leader comes first, with its word undecided: from then on whatever an
    /// interruption leaves is known to be as before. In each payload the detours'
    /// parts come first: they may take several writes, and mean nothing until the
    /// head says that a switch is under way.
    func arm(in process: TargetProcess) throws(LiveProcessError) {
        guard let decision = participants.first?.record.decisionWord else { return }
        for (number, participant) in participants.enumerated() {
            guard let place = participant.record.statePlace,
                let tail = place.advanced(by: PayloadState.Offset.tail)
            else { continue }
            let state = armedState(of: number, decision: decision)
            try process.write(state.tail, at: tail)
            try process.write(state.head, at: place)
        }
    }

    private func armedState(of number: Int, decision: RemoteAddress) -> PayloadState {
        var state = participants[number].state
        state.isSwitching = true
        state.isDecided = false
        state.isVacant = false
        state.decision = decision
        for index in state.entries.indices {
            state.entries[index].before = 0
            state.entries[index].after = 0
        }
        for change in changes where change.host == number {
            let detour = change.detour
            state.entries[change.index].before = detour.word(for: change.before)
            state.entries[change.index].after = detour.word(for: change.after)
            if let beneath = change.beneath {
                state.entries[change.index].beneath = detour.word(for: beneath)
            }
        }
        return state
    }

    /// The switch is over, done or not, and no stub is in use. The leader comes
    /// last: without it nobody could tell how the others' switch was decided.
    ///
    /// - Parameter isDone: whether the functions lead where they were to lead.
    func disarm(
        in process: TargetProcess, isDone: Bool, at seconds: UInt64
    ) throws(LiveProcessError) {
        for (number, participant) in participants.enumerated().reversed() {
            guard let place = participant.record.statePlace,
                var state = try process.payloadState(of: participant.record)
            else { continue }
            state.isSwitching = false
            if isDone, switchesIn(number) { state.appliedAt = seconds }
            try process.write(state.head, at: place)
        }
    }

    /// Whether a function comes to lead to the participant itself.
    private func switchesIn(_ number: Int) -> Bool {
        changes.contains { $0.host == number && $0.after == .code($0.detour.entry) }
    }

    /// Whether every function leads directly where it led before, and no island holds
    /// anything of the switch.
    func isUndone(in process: TargetProcess) -> Bool {
        changes.allSatisfy { change in
            guard let bytes = change.detour.bytes(leadingTo: change.before) else { return false }
            let detour = change.detour
            let site = try? process.read(detour.site, count: detour.original.count)
            guard site == bytes.site else { return false }
            guard let island = detour.island else { return true }
            return (try? process.read(island.address, count: 5)) == bytes.island
        }
    }

    /// Payloads that nothing leads to after the switch, and in which no thread was
    /// at that moment.
    func noteVacancy(in process: TargetProcess) throws(LiveProcessError) {
        for record in vacated {
            guard let place = record.statePlace, var state = try process.payloadState(of: record)
            else { continue }
            state.isVacant = true
            try process.write(state.bytes, at: place)
        }
    }

    /// Where to note that code of a payload is led to from now on.
    var marksOfLife: [RemoteAddress] {
        participants.compactMap { participant in
            participant.state.isLive
                ? nil : participant.record.statePlace?.advanced(by: PayloadState.Offset.isLive)
        }
    }
}
