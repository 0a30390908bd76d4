import Addresses
import LiveProcess
import PatchLinker

/// The payloads of a process and which of them each replaced function leads
/// through: patches may stand on patches.
struct PatchStack {
    typealias Destination = PayloadRecord.Detour.Destination

    let payloads: [PresentPayload]
    /// Payloads of objects that are gone.
    let unloaded: [PresentPayload]
    let damaged: [DamagedPayload]
    /// What the words say that decide the switches under way, by where they are; without
    /// those that cannot be read.
    private let decisions: [RemoteAddress: Bool]
    /// By the address of the site.
    private(set) var sites: [RemoteAddress: Site] = [:]

    /// A detour of a payload, by their numbers.
    struct Layer: Hashable {
        let payload: Int
        let detour: Int
    }

    /// What a function's entry leads to.
    struct Site {
        /// nil: neither the original nor a jump of ours stands there.
        let destination: Destination?
        /// The patches that the function is replaced by, the topmost first.
        let layers: [Layer]
        /// It leads there by way of a stub: a switch has been interrupted.
        let isByWayOfStub: Bool
        /// The patch whose state does not tell what the function led to before.
        var untold: Layer?
        /// What stands there in place of either.
        var obstruction: Obstruction?
    }

    /// Bytes at a site that are neither the original nor a jump of ours.
    struct Obstruction {
        let address: RemoteAddress
        let found: [UInt8]
        /// Where the function would lead without the int3 that stands there; nil where
        /// it is something else.
        let beneathBreakpoint: Destination?

        func disturbance(of symbol: String) -> AppliedPatch.Disturbance {
            .init(
                symbol: symbol, address: address, found: found,
                isBreakpoint: beneathBreakpoint != nil)
        }
    }

    /// Every detour for a site, whether or not it is in use.
    private var detours: [RemoteAddress: [Layer]] = [:]

    init(of process: TargetProcess, in map: MemoryMap) throws(LiveProcessError) {
        let found = try process.payloads(in: map)
        payloads = found.present
        unloaded = found.unloaded
        damaged = found.damaged
        decisions = Self.decisions(of: payloads, in: process)
        for (number, payload) in payloads.enumerated() {
            for (index, detour) in payload.record.detours.enumerated() {
                detours[detour.site, default: []].append(Layer(payload: number, detour: index))
            }
        }
        for (address, layers) in detours {
            var site = site(
                at: address, leadingTo: try destination(at: layers, in: process))
            if site.destination == nil, site.untold == nil, !site.isByWayOfStub {
                site.obstruction = try obstruction(at: layers, in: process)
            }
            sites[address] = site
        }
    }

    /// The words that decide are read as the stubs read them, whatever has become of
    /// the payload that they lie in: the program goes by them.
    private static func decisions(
        of payloads: [PresentPayload], in process: TargetProcess
    ) -> [RemoteAddress: Bool] {
        var decisions: [RemoteAddress: Bool] = [:]
        for payload in payloads where payload.state.isSwitching {
            let place = payload.state.decision
            decisions[place] = (try? process.read(place, count: 8))?.contains { $0 != 0 }
        }
        return decisions
    }

    /// What stands at a site that leads nowhere we know.
    private func obstruction(
        at layers: [Layer], in process: TargetProcess
    ) throws(LiveProcessError) -> Obstruction? {
        var other: Obstruction?
        for layer in layers {
            let detour = self[layer]
            let standing = try detour.standing(in: process)
            for goal: Destination in [.code(detour.entry), .code(detour.stub), .original] {
                guard let place = detour.breakpoint(in: standing, insteadOf: goal) else { continue }
                return Obstruction(
                    address: place, found: [PayloadRecord.Detour.int3], beneathBreakpoint: goal)
            }
            other =
                other
                ?? Obstruction(
                    address: detour.site, found: standing.site, beneathBreakpoint: nil)
        }
        return other
    }

    /// Where a site leads, as the detours for it write and read it: two patches may go
    /// by way of different islands. nil where it makes sense to none of them.
    private func destination(
        at layers: [Layer], in process: TargetProcess
    ) throws(LiveProcessError) -> Destination? {
        var found: [Destination] = []
        for layer in layers {
            guard let destination = try self[layer].destination(in: process) else { continue }
            let own: [Destination] = [.code(self[layer].entry), .code(self[layer].stub)]
            if own.contains(destination) { return destination }
            found.append(destination)
        }
        return found.contains(.original) ? .original : found.first
    }

    subscript(layer: Layer) -> PayloadRecord.Detour {
        payloads[layer.payload].record.detours[layer.detour]
    }

    private func site(at address: RemoteAddress, leadingTo found: Destination?) -> Site {
        var layers: [Layer] = []
        var next = found
        var isByWayOfStub = false
        if case .code(let target)? = found,
            let layer = layer(at: address, where: { $0.stub == target })
        {
            isByWayOfStub = true
            next = decided(layer)
        }
        let destination = next
        while case .code(let target)? = next {
            guard let layer = layer(at: address, where: { $0.entry == target }),
                !layers.contains(layer)
            else {
                return Site(
                    destination: nil, layers: [], isByWayOfStub: isByWayOfStub,
                    untold: layers.last)
            }
            layers.append(layer)
            let state = payloads[layer.payload].state
            next = self[layer].destination(of: state.entries[layer.detour].beneath)
        }
        return Site(destination: destination, layers: layers, isByWayOfStub: isByWayOfStub)
    }

    private func layer(
        at site: RemoteAddress, where suits: (PayloadRecord.Detour) -> Bool
    ) -> Layer? {
        detours[site]?.first { suits(self[$0]) }
    }

    /// Where a stub leads at present.
    private func decided(_ layer: Layer) -> Destination? {
        let state = payloads[layer.payload].state
        guard let isDecided = isDecided(payloads[layer.payload]) else { return nil }
        let entry = state.entries[layer.detour]
        return self[layer].destination(of: isDecided ? entry.after : entry.before)
    }

    /// Whether the switch under way that `payload` takes part in is decided; nil where
    /// the word that says so cannot be read.
    func isDecided(_ payload: PresentPayload) -> Bool? { decisions[payload.state.decision] }

    /// Whether any payload says that it is being switched.
    var hasOpenJournal: Bool { (payloads + unloaded).contains { $0.state.isSwitching } }

    /// The patch in every function of which it is on top or beneath others.
    func isComplete(_ payload: Int) -> Bool { layerCount(payload) == detourCount(payload) }

    func layerCount(_ payload: Int) -> Int {
        payloads[payload].record.detours.indices.count { index in
            let layer = Layer(payload: payload, detour: index)
            return sites[self[layer].site]?.layers.contains(layer) ?? false
        }
    }

    func detourCount(_ payload: Int) -> Int { payloads[payload].record.detours.count }

    /// Whether a function leads to the payload, and its state does not tell what it led
    /// to before.
    func isUntold(_ payload: Int) -> Bool {
        payloads[payload].record.detours.contains { sites[$0.site]?.untold?.payload == payload }
    }

    /// Why nothing can be written where the function leads; nil where it can.
    func obstacle(at detour: PayloadRecord.Detour) -> SwitchRefusal? {
        guard let site = sites[detour.site] else { return nil }
        if let untold = site.untold {
            return .damagedPayload(
                name: payloads[untold.payload].record.name, damage: .historyOverwritten)
        }
        return site.obstruction?.disturbance(of: detour.symbol).refusal
    }

    /// Whether anything leads into the payload or may do so, or a journal says that
    /// it is being switched.
    func isInUse(_ payload: Int) -> Bool {
        layerCount(payload) > 0 || payloads[payload].state.isSwitching
            || payloads[payload].record.detours.contains { detour in
                guard let site = sites[detour.site] else { return true }
                if case .original? = site.obstruction?.beneathBreakpoint { return false }
                return site.isByWayOfStub || site.destination == nil
            }
    }
}

extension PayloadRecord.Detour {
    /// `int3` (CC, Intel SDM vol. 2): what debuggers and probes set.
    static let int3: UInt8 = 0xcc

    /// Where an int3 stands in place of a byte of what leads to `destination`; nil where
    /// anything else differs too, or nothing.
    func breakpoint(
        in standing: WriteSequence.Standing, insteadOf destination: Destination
    ) -> RemoteAddress? {
        guard let bytes = bytes(leadingTo: destination) else { return nil }
        var places: [RemoteAddress] = []
        let parts = [
            (site, bytes.site, standing.site),
            (island?.address ?? site, bytes.island ?? [], standing.island ?? []),
        ]
        for (start, expected, found) in parts {
            guard expected.count == found.count else { return nil }
            for offset in expected.indices where expected[offset] != found[offset] {
                guard found[offset] == Self.int3, let place = start.advanced(by: UInt64(offset))
                else { return nil }
                places.append(place)
            }
        }
        return places.first
    }

    /// What a word of the journal means; nil for a function that takes no part.
    func destination(of word: UInt64) -> Destination? {
        if word == 0 { return nil }
        if word == site.rawValue || word == moved?.rawValue { return .original }
        return .code(RemoteAddress(rawValue: word))
    }

    /// The word that means `destination`: what a stub jumps to.
    func word(for destination: Destination) -> UInt64 {
        switch destination {
        case .original: moved?.rawValue ?? site.rawValue
        case .code(let address): address.rawValue
        }
    }
}
