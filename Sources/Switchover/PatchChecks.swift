import Addresses
import ELFImage
import LiveProcess
import PatchFile
import PatchLinker

/// What speaks against bringing a patch into a process, found without stopping
/// anything.
extension PatchPlan {
    /// Patches in the process that this one cannot stand beside, nor on top of.
    static func conflicts(
        of manifest: PatchManifest, at base: BaseObject, with stack: PatchStack,
        replacing names: Set<String>
    ) -> [SwitchRefusal] {
        var reasons: [SwitchRefusal] = []
        for patch in stack.patches where patch.state.isSwitchedIn {
            let record = patch.record
            if patch.state == .mixed {
                let found = patch.disturbances.map(\.refusal)
                reasons += found.isEmpty ? [.mixedState(name: record.name)] : found
            }
            if record.name == manifest.name, !manifest.isCumulative, !names.contains(record.name) {
                reasons.append(.nameTaken(name: record.name, digest: record.digest))
            }
            // A patch may stand on another only where both jump from one place, and by
            // way of the same island.
            let rooms = record.detours.map { DetourRoom($0) }
            for function in manifest.functions {
                let own = DetourRoom(function, at: base)
                if let damage = patch.damage, rooms.contains(where: own.hasPlaces) {
                    reasons.append(.damagedPayload(name: record.name, damage: damage))
                }
                let reason = rooms.lazy.filter { !$0.hasPlaces(of: own) }
                    .compactMap { own.conflict(with: $0, ofPatch: record.name) }.first
                if let reason { reasons.append(reason) }
            }
        }
        return reasons
    }

    /// Sites whose memory must not be written, or not in one go.
    static func unsuitableMappings(
        of manifest: PatchManifest, at base: BaseObject, in map: MemoryMap
    ) -> [SwitchRefusal] {
        manifest.functions.compactMap { function in
            for place in function.writtenPlaces {
                guard let range = base.object.bias.remote(place) else { continue }
                let reason: SwitchRefusal.MappingReason? =
                    range.crossesPage ? .acrossPages : map.reasonAgainstWriting(at: range.start)
                if let reason {
                    return .unsuitableMapping(
                        symbol: function.symbol, address: range.start, reason: reason)
                }
            }
            return nil
        }
    }

    /// Functions whose bytes in memory are not those that the patch was made for,
    /// whatever detours of ours stand there.
    static func differences(
        of manifest: PatchManifest, at base: BaseObject, in process: TargetProcess,
        under stack: PatchStack
    ) throws(SwitchoverError) -> [SwitchRefusal] {
        var reasons: [SwitchRefusal] = []
        for function in manifest.functions {
            let present = try base.read(function.range, of: process)
            // The site may reach into the padding behind the function, which only
            // the file can vouch for, as for the island.
            var parts = [(function.range, function.original, present)]
            let site = base.object.bias.remote(function.site)
            if let standing = stack.sites[site], !standing.layers.isEmpty {
                parts = [function.masked(present)].map { (function.range, $0.expected, $0.found) }
            } else {
                for place in function.writtenPlaces {
                    let expected = (try? base.image.bytes(at: place).array()) ?? []
                    parts.append((place, expected, try base.read(place, of: process)))
                }
            }
            for (range, expected, found) in parts {
                guard let reason = difference(function, range, expected, found, base) else {
                    continue
                }
                reasons.append(reason)
                break
            }
        }
        return reasons
    }

    /// The first bytes of `range` that are not as expected.
    private static func difference(
        _ function: ReplacedFunction, _ range: AddressRange<LinkAddress>, _ expected: [UInt8],
        _ found: [UInt8], _ base: BaseObject
    ) -> SwitchRefusal? {
        guard found != expected else { return nil }
        let first =
            zip(found, expected).enumerated()
            .first { $0.element.0 != $0.element.1 }?.offset ?? 0
        let end = min(first + 8, found.count, expected.count)
        let address = base.object.bias.remote(range.start)
        return .bytesDiffer(
            symbol: function.symbol, address: address.advanced(by: UInt64(first)) ?? address,
            expected: Array(expected[min(first, end)..<end]),
            found: Array(found[min(first, end)..<end]))
    }
}

extension ReplacedFunction {
    /// What a switch overwrites: the site, and the island where there is one.
    var writtenPlaces: [AddressRange<LinkAddress>] {
        [siteRange, islandRange].compactMap(\.self)
    }

    /// The original's bytes and those found, without what a detour has overwritten.
    fileprivate func masked(_ present: [UInt8]) -> (expected: [UInt8], found: [UInt8]) {
        guard let offset = site.distance(from: range.start) else { return (original, present) }
        let end = Int(offset + siteLength)
        func rest(_ bytes: [UInt8]) -> [UInt8] {
            Array(bytes.prefix(Int(offset))) + bytes.dropFirst(end)
        }
        return (rest(original), rest(present))
    }
}

extension AddressRange<RemoteAddress> {
    /// Whether it lies in more than one page, so that a write to it may be split.
    var crossesPage: Bool {
        !isEmpty
            && start.rawValue / PayloadExtent.pageSize
                != (end.rawValue - 1) / PayloadExtent.pageSize
    }
}

extension MemoryMap {
    /// Why code at `address` must not be written, or nil where it may be.
    func reasonAgainstWriting(at address: RemoteAddress) -> SwitchRefusal.MappingReason? {
        guard let region = region(at: address) else { return .notMapped }
        if !region.isExecutable { return .notExecutable }
        if region.isWritable { return .writable }
        if region.isShared { return .shared }
        return nil
    }

    /// Whether all of `range` is mapped, by mappings that `suit`.
    func covers(
        _ range: AddressRange<RemoteAddress>, where suit: (MemoryRegion) -> Bool = { _ in true }
    ) -> Bool {
        var position = range.start
        while position < range.end {
            guard let region = region(at: position), suit(region) else { return false }
            position = region.range.end
        }
        return true
    }
}
