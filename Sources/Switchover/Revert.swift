import Addresses
import LiveProcess
import PatchFile
import PatchLinker

extension Switchover {
    /// Switches a patch out: its functions lead again to what they led to before it
    /// came. The payload stays mapped, since pointers to it may be anywhere.
    ///
    /// A patch under another one cannot be taken out from there: the other was
    /// applied on top of it, and may count on the rest of it.
    public static func revert(
        _ name: String, in process: TargetProcess, options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> SwitchReport {
        let start = ContinuousClock().now
        return try alone(with: process, options) { () throws(SwitchoverError) in
            let stack = try stack(of: process)
            let patches = stack.patches
            let spoiled = stack.damaged.filter { $0.record.name == name }
            guard spoiled.isEmpty else { throw .refused(spoiled.map(\.refusal)) }
            let named = patches.indices.filter { patches[$0].record.name == name }
            if let number = named.first(where: { patches[$0].state.isSwitchedIn }) {
                let (change, guards) = try withdrawal(of: number, from: stack, options)
                let passage = try carryOut(change, guards, in: process, options)
                return report(.reverted, patches[number].record, since: start, passage)
            }
            if let number = named.first {
                return report(.alreadyReverted, patches[number].record, since: start)
            }
            let applied = patches.filter { $0.state.isSwitchedIn }.map(\.record.name)
            throw .refused([.notApplied(name: name, applied: applied)])
        }
    }

    /// Switches every patch of the process out, all at one moment. Empty where none
    /// is switched in.
    public static func revertAll(
        in process: TargetProcess, options: SwitchOptions = SwitchOptions()
    ) throws(SwitchoverError) -> [SwitchReport] {
        let start = ContinuousClock().now
        return try alone(with: process, options) { () throws(SwitchoverError) in
            let stack = try stack(of: process)
            let obstacles = stack.damaged.map(\.refusal) + stack.obstructions
            guard obstacles.isEmpty else { throw .refused(obstacles) }
            var change = PatchSwitch()
            var guards = SwitchGuards()
            for (_, site) in stack.sites.sorted(by: { $0.key < $1.key }) {
                guard let top = site.layers.first else { continue }
                for layer in site.layers {
                    let record = stack.payloads[layer.payload].record
                    add(record, to: &guards, options)
                    if !options.allowsActiveOriginals, !change.vacated.contains(record) {
                        change.vacated.append(record)
                    }
                }
                add(top, of: stack, leadingTo: .original, to: &change)
            }
            let reverted = stack.patches.filter { $0.state.isSwitchedIn }
                .sorted { ($0.appliedAt ?? 0) > ($1.appliedAt ?? 0) }
            if change.changes.isEmpty { return [] }
            for function in change.changes { guards.addPlaces(of: function) }
            try requirePossible(change)
            let passage = try carryOut(change, guards, in: process, options)
            return reverted.map { report(.reverted, $0.record, since: start, passage) }
        }
    }

    static func stack(
        of process: TargetProcess
    ) throws(SwitchoverError) -> PatchStack {
        try process.looked { p throws(LiveProcessError) in
            try PatchStack(of: p, in: try p.memoryMap())
        }
    }

    /// Every function that leads to the patch is led to what is beneath.
    private static func withdrawal(
        of number: Int, from stack: PatchStack, _ options: SwitchOptions
    ) throws(SwitchoverError) -> (PatchSwitch, SwitchGuards) {
        let record = stack.payloads[number].record
        var change = PatchSwitch()
        var guards = SwitchGuards()
        var reasons: [SwitchRefusal] = []
        for (index, detour) in record.detours.enumerated() {
            let layer = PatchStack.Layer(payload: number, detour: index)
            guard let site = stack.sites[detour.site] else { continue }
            if let obstacle = stack.obstacle(at: detour) {
                reasons.append(obstacle)
                continue
            }
            // Where another tool has put back the original, nothing is to be done.
            guard let depth = site.layers.firstIndex(of: layer) else { continue }
            if let top = site.layers.first, depth > 0 {
                let by = stack.payloads[top.payload].record.name
                reasons.append(.underneath(symbol: detour.symbol, name: record.name, by: by))
                continue
            }
            let beneath = site.layers.dropFirst().first.map { stack[$0].entry }
            add(layer, of: stack, leadingTo: beneath.map { .code($0) } ?? .original, to: &change)
        }
        guard reasons.isEmpty else { throw .refused(reasons) }
        add(record, to: &guards, options)
        if !options.allowsActiveOriginals { change.vacated = [record] }
        for function in change.changes { guards.addPlaces(of: function) }
        try requirePossible(change)
        return (change, guards)
    }

    private static func add(
        _ layer: PatchStack.Layer, of stack: PatchStack,
        leadingTo destination: PatchSwitch.Destination, to change: inout PatchSwitch
    ) {
        let host = stack.payloads[layer.payload]
        change.add(
            layer.detour, of: host.record, host.state, from: .code(stack[layer].entry),
            to: destination)
    }

    private static func add(
        _ record: PayloadRecord, to guards: inout SwitchGuards, _ options: SwitchOptions
    ) {
        if !options.allowsActiveOriginals { guards.addPayload(record) }
    }

    private static func requirePossible(_ change: PatchSwitch) throws(SwitchoverError) {
        guard let obstacle = change.obstacle else { return }
        throw .refused([
            .cannotMove(
                symbol: obstacle.detour.symbol,
                reason: "its first instructions cannot run elsewhere")
        ])
    }
}

extension PatchStack {
    /// What somebody else has written where functions lead to patches, or may do so.
    fileprivate var obstructions: [SwitchRefusal] {
        payloads.indices.filter(isInUse).flatMap { number in
            payloads[number].record.detours.compactMap { detour in
                obstacle(at: detour)
            }
        }
    }
}

extension DamagedPayload {
    var refusal: SwitchRefusal { .damagedPayload(name: record.name, damage: damage) }
}
