import Addresses
import LiveProcess
import PatchLinker

/// A payload found in a process, and what its sites say.
public struct AppliedPatch: Sendable {
    public enum State: String, Sendable {
        /// Every function that it replaces leads to it, or to a patch above it.
        case applied
        /// None does; the payload stays, since pointers to it may be anywhere.
        case reverted
        /// It was mapped and never switched in: what an interrupted run left.
        case unused
        /// Some functions lead to it, some do not: another tool wrote there.
        case mixed
        /// A run was killed in the middle of switching it. The program goes on as
        /// before the switch, or as after it; `recover` tidies up.
        case interrupted
        /// Functions lead to it, but the process has spoiled what tells of its state.
        case damaged

        /// Whether code of the payload may be called through a detour.
        public var isSwitchedIn: Bool { self != .reverted && self != .unused }
    }

    public let record: PayloadRecord
    public let state: State
    /// Seconds since 1970, where the payload tells.
    public let appliedAt: UInt64?
    /// Functions that it replaces and that a later patch has taken over: their
    /// names, each with the patch on top.
    public let covered: [(symbol: String, by: String)]
    /// Functions at whose entry somebody else has written.
    public let disturbances: [Disturbance]
    /// What the process has done to it, where it is damaged.
    public let damage: PayloadDamage?
    /// How far it is with what runs once; nil where nothing does.
    public let once: OnceProgress?

    /// What somebody else has written at a function's entry.
    public struct Disturbance: Hashable, Sendable {
        public let symbol: String
        public let address: RemoteAddress
        public let found: [UInt8]
        /// Whether it is an int3 over what would stand there: a debugger's, or a probe's.
        public let isBreakpoint: Bool

        /// Why nothing is written there.
        var refusal: SwitchRefusal {
            isBreakpoint
                ? .breakpoint(symbol: symbol, address: address)
                : .detourDiffers(symbol: symbol, address: address, found: found)
        }
    }
}

extension PatchStack {
    /// Every payload as people see it; those that are damaged come last.
    var patches: [AppliedPatch] {
        payloads.indices.map(patch)
            + damaged.map { payload in
                AppliedPatch(
                    record: payload.record, state: .damaged, appliedAt: nil, covered: [],
                    disturbances: [], damage: payload.damage, once: nil)
            }
    }

    func patch(_ number: Int) -> AppliedPatch {
        let payload = payloads[number]
        var covered: [(symbol: String, by: String)] = []
        var disturbances: [AppliedPatch.Disturbance] = []
        for (index, detour) in payload.record.detours.enumerated() {
            if let obstruction = sites[detour.site]?.obstruction {
                disturbances.append(obstruction.disturbance(of: detour.symbol))
            }
            guard let layers = sites[detour.site]?.layers, let top = layers.first,
                layers.dropFirst().contains(Layer(payload: number, detour: index))
            else { continue }
            covered.append((detour.symbol, payloads[top.payload].record.name))
        }
        let appliedAt = payload.state.appliedAt
        return AppliedPatch(
            record: payload.record, state: state(of: number),
            appliedAt: appliedAt == 0 ? nil : appliedAt, covered: covered,
            disturbances: disturbances, damage: isUntold(number) ? .historyOverwritten : nil,
            once: payload.once)
    }

    private func state(of number: Int) -> AppliedPatch.State {
        let payload = payloads[number]
        if payload.state.isSwitching { return .interrupted }
        if isUntold(number) { return .damaged }
        switch layerCount(number) {
        // Whatever stands at one of its sites, it is none of ours.
        case 0 where isInUse(number): return .mixed
        case 0: return payload.state.isLive ? .reverted : .unused
        case payload.record.detours.count: return .applied
        default: return .mixed
        }
    }
}
