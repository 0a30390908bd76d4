import Addresses
import ELFImage
import LiveProcess
import PatchFile
import PatchLinker
import Patchability
import Quiescence

/// What speaks against applying a patch, found without stopping anything.
extension ApplyPlan {
    /// Patches in the process that this one would collide with.
    static func conflicts(
        of manifest: PatchManifest, at base: BaseObject, with applied: [AppliedPatch]
    ) -> [SwitchRefusal] {
        var reasons: [SwitchRefusal] = []
        for patch in applied where patch.state.isSwitchedIn {
            let record = patch.record
            if patch.state == .mixed { reasons.append(.mixedState(name: record.name)) }
            if record.name == manifest.name {
                reasons.append(.nameTaken(name: record.name, digest: record.digest))
            }
            let sites = Set(record.detours.map(\.site))
            for function in manifest.functions
            where sites.contains(base.object.bias.remote(function.site)) {
                reasons.append(.alreadyReplaced(symbol: function.symbol, by: record.name))
            }
        }
        return reasons
    }

    /// Sites whose memory must not be written.
    static func unsuitableMappings(
        of manifest: PatchManifest, at base: BaseObject, in map: MemoryMap
    ) -> [SwitchRefusal] {
        manifest.functions.compactMap { function in
            let address = base.object.bias.remote(function.site)
            // The site may reach into the next page, which may be another mapping.
            let last = address.advanced(by: 4) ?? address
            for place in [address, last] {
                if let reason = map.reasonAgainstWriting(at: place) {
                    return .unsuitableMapping(
                        symbol: function.symbol, address: address, reason: reason)
                }
            }
            return nil
        }
    }

    /// Functions whose bytes in memory are not those that the patch was made for.
    static func differences(
        of manifest: PatchManifest, at base: BaseObject, in process: TargetProcess
    ) throws(SwitchoverError) -> [SwitchRefusal] {
        var reasons: [SwitchRefusal] = []
        for function in manifest.functions {
            let found = try base.read(function.range, of: process)
            if let reason = difference(function, function.range, function.original, found, base) {
                reasons.append(reason)
                continue
            }
            // The site may reach into the padding behind the function, which only
            // the file can vouch for.
            guard let site = AddressRange(start: function.site, count: 5) else { continue }
            let present = try base.read(site, of: process)
            let expected = (try? base.image.bytes(at: site).array()) ?? []
            if let reason = difference(function, site, expected, present, base) {
                reasons.append(reason)
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

    /// Where no thread may be when the detours are written.
    static func guardedCode(
        _ manifest: PatchManifest, at base: BaseObject, allowsActive: Bool
    ) -> GuardedCode {
        let bias = base.object.bias
        var stretches: [GuardedCode.Stretch] = []
        for function in manifest.functions {
            let site = bias.remote(function.site)
            stretches.append(.site(site, length: 5, of: function.symbol))
            if allowsActive { continue }
            let neverReturns = base.code(of: function).neverReturns
            if let range = bias.remote(function.range),
                let stretch = GuardedCode.Stretch.function(
                    range, entry: site, endIsReturn: mayEndInCall(function.original),
                    symbol: function.symbol, neverReturns: neverReturns)
            {
                stretches.append(stretch)
            }
            for fragment in function.fragments {
                guard let range = bias.remote(fragment),
                    let stretch = GuardedCode.Stretch.piece(
                        range, symbol: function.symbol, neverReturns: neverReturns)
                else { continue }
                stretches.append(stretch)
            }
        }
        return GuardedCode(stretches)
    }

    /// Whether the last bytes can be a call (E8 cd; FF /2 with up to six bytes
    /// behind the opcode), so that the address behind them is a return address.
    private static func mayEndInCall(_ code: [UInt8]) -> Bool {
        let direct = code.count >= 5 && code[code.count - 5] == 0xe8
        return direct || code.suffix(7).dropLast().contains(0xff)
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
