import Addresses
import JSONText
import LiveProcess
import PatchFile
import PatchLinker
import Patchability

/// Patches that go into one process together: all of them or none.
struct ApplyPlan {
    let process: TargetProcess
    let stack: PatchStack
    let patches: [PatchPlan]
    /// Those of the set that are in the process already.
    let present: [AppliedPatch]
    /// The payloads, by number, whose place the patches take.
    private let leaving: Set<Int>

    /// Looks at the process and checks all that can be checked.
    ///
    /// Throws `refused` with every reason that was found, or `process`.
    static func make(
        _ patches: [PatchFile], for process: TargetProcess, _ options: SwitchOptions
    ) throws(SwitchoverError) -> ApplyPlan {
        let surroundings = try process.looked { p throws(LiveProcessError) in
            let (map, objects) = try p.mapAndObjects()
            return PatchPlan.Surroundings(
                process: p, map: map, objects: objects,
                lookupOrder: options.lookupOrder, stack: try PatchStack(of: p, in: map),
                images: options.images, preparations: options.preparations)
        }
        let applied = surroundings.stack.patches.filter { $0.state == .applied }
        var plans: [PatchPlan] = []
        var present: [AppliedPatch] = []
        var reasons: [SwitchRefusal] = []
        for patch in patches {
            let digest = Hexadecimal.text(patch.digest)
            if let same = applied.first(where: { $0.record.digest == digest }) {
                present.append(same)
                continue
            }
            do throws(SwitchoverError) {
                plans.append(
                    try PatchPlan(patch, in: surroundings, replacing: options.replacing))
            } catch .refused(let found) {
                reasons += found
            }
        }
        reasons += collisions(among: plans)
        let leaving = leaving(for: plans, surroundings.stack, options.replacing)
        reasons += surroundings.stack.obstacles(toLeaving: leaving)
        guard reasons.isEmpty else { throw .refused(reasons) }
        return ApplyPlan(
            process: process, stack: surroundings.stack, patches: plans, present: present,
            leaving: leaving)
    }

    /// What leaves in this switch: what was asked for and what the patches supersede,
    /// which for a cumulative one is every other patch of its base.
    private static func leaving(
        for plans: [PatchPlan], _ stack: PatchStack, _ names: Set<String>
    ) -> Set<Int> {
        Set(
            stack.payloads.indices.filter { number in
                let record = stack.payloads[number].record
                guard !plans.isEmpty, stack.isInUse(number) else { return false }
                return names.contains(record.name)
                    || plans.contains { plan in
                        let manifest = plan.patch.manifest
                        let range = plan.base.object.range
                        return record.detours.contains { range.contains($0.site) }
                            && (manifest.isCumulative || manifest.supersedes.contains(record.name))
                    }
            })
    }

    /// Within one set no patch can stand on another.
    private static func collisions(among plans: [PatchPlan]) -> [SwitchRefusal] {
        var reasons: [SwitchRefusal] = []
        for (number, plan) in plans.enumerated() {
            let manifest = plan.patch.manifest
            for other in plans[..<number] {
                let name = other.patch.manifest.name
                if name == manifest.name { reasons.append(.namedAlike(name: name)) }
                let taken = other.patch.manifest.functions.map { DetourRoom($0, at: other.base) }
                for function in manifest.functions {
                    let own = DetourRoom(function, at: plan.base)
                    let reason = taken.lazy.compactMap {
                        own.collision(with: $0, of: manifest.name, and: name)
                    }.first
                    if let reason { reasons.append(reason) }
                }
            }
        }
        return reasons
    }
}

extension PatchStack {
    /// Patches that stay and lie on ones that leave, on which they may count.
    fileprivate func obstacles(toLeaving leaving: Set<Int>) -> [SwitchRefusal] {
        sites.sorted(by: { $0.key < $1.key }).compactMap { _, site in
            let rest = site.layers.drop { leaving.contains($0.payload) }
            guard let over = rest.first,
                let under = rest.first(where: { leaving.contains($0.payload) })
            else { return nil }
            return .underneath(
                symbol: self[under].symbol, name: payloads[under.payload].record.name,
                by: payloads[over.payload].record.name)
        }
    }
}

// MARK: Room

extension ApplyPlan {
    /// Where payloads lie that nothing leads to and nothing can lead to any more.
    var emptyRooms: [AddressRange<RemoteAddress>] {
        let kept = Set(patches.compactMap { $0.kept?.payload.record.extent.start })
        return stack.payloads.indices.compactMap { number in
            let (record, state) = (stack.payloads[number].record, stack.payloads[number].state)
            guard record.isConfined, state.isVacant, !stack.isInUse(number),
                !kept.contains(record.extent.start)
            else { return nil }
            return record.extent.range
        }
    }
}

// MARK: The switch

extension ApplyPlan {
    /// A patch of the set with its payload where it is, or is going to be.
    struct Linked {
        let plan: PatchPlan
        let payload: LinkedPayload
        let isNew: Bool

        var state: PayloadState {
            plan.kept?.state
                ?? PayloadState(detourCount: payload.record.detours.count)
        }
    }

    /// What is led where, and where no thread may be then.
    func switching(
        _ linked: [Linked], _ options: SwitchOptions
    ) throws(SwitchoverError) -> (PatchSwitch, SwitchGuards) {
        var change = PatchSwitch()
        var guards = SwitchGuards()
        // Of a process that is held, no thread has run what is patched.
        let mayBeActive = !options.allowsActiveOriginals && !process.isHeld
        for patch in linked {
            for (index, detour) in patch.payload.record.detours.enumerated() {
                let site = stack.sites[detour.site]
                let before = site?.destination ?? .original
                change.add(
                    index, of: patch.payload.record, patch.state, from: before,
                    to: .code(detour.entry), over: site.map(beneath) ?? .original)
                guard mayBeActive else { continue }
                for layer in site?.layers ?? [] {
                    guards.addPayload(stack.payloads[layer.payload].record)
                }
                // A patch beneath may have jumped on to the original.
                guards.addOriginal(
                    patch.plan.patch.manifest.functions[index], at: patch.plan.base)
                guards.addMovedEntries(ofOriginalAt: detour.site, in: stack)
            }
        }
        withdraw(&change, &guards, options)
        for function in change.changes { guards.addPlaces(of: function) }
        if let obstacle = change.obstacle { throw .refused([refusal(obstacle, linked)]) }
        return (change, guards)
    }

    /// Where a function leads when what leaves is gone from it.
    private func beneath(_ site: PatchStack.Site) -> PatchSwitch.Destination {
        let staying = site.layers.first { !leaving.contains($0.payload) }
        return staying.map { .code(stack[$0].entry) } ?? .original
    }

    /// Leads the functions that none of the patches replaces, and that patches which
    /// leave did, to what is beneath these.
    private func withdraw(
        _ change: inout PatchSwitch, _ guards: inout SwitchGuards, _ options: SwitchOptions
    ) {
        let taken = Set(change.changes.map(\.detour.site))
        for (address, site) in stack.sites.sorted(by: { $0.key < $1.key })
        where !taken.contains(address) {
            guard let top = site.layers.first, leaving.contains(top.payload) else { continue }
            let host = stack.payloads[top.payload]
            change.add(
                top.detour, of: host.record, host.state, from: .code(stack[top].entry),
                to: beneath(site))
            if options.allowsActiveOriginals { continue }
            for layer in site.layers where leaving.contains(layer.payload) {
                let record = stack.payloads[layer.payload].record
                guards.addPayload(record)
                if !change.vacated.contains(record) { change.vacated.append(record) }
            }
        }
    }

    private func refusal(
        _ obstacle: PatchSwitch.Change, _ linked: [Linked]
    ) -> SwitchRefusal {
        let symbol = obstacle.detour.symbol
        let reason = linked.compactMap { $0.plan.payload.moveRefusals[symbol] }.first
        return .cannotMove(
            symbol: symbol,
            reason: reason?.description ?? "its first instructions cannot run elsewhere")
    }
}
