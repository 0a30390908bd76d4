import Addresses
import JSONText
import LiveProcess
import PatchFile
import PatchLinker
import Quiescence

/// A payload found in a process, with its state at that moment.
struct PresentPayload {
    let record: PayloadRecord
    let state: PayloadState
}

extension TargetProcess {
    /// Every complete payload of ours in the process, in the order of their addresses.
    ///
    /// A record lies in the target's memory, which the target may have forged. It
    /// counts only where the kernel's list of mappings confirms its extent and
    /// its sites lie in executable memory of a file.
    func payloads(in map: MemoryMap) throws(LiveProcessError) -> [PresentPayload] {
        var payloads: [PresentPayload] = []
        for region in map.regions where region.mayStartPayload {
            guard let record = try payloadRecord(at: region.range.start),
                record.isMapped(at: region.range.start, in: map), record.hasSites(in: map),
                let state = try payloadState(of: record)
            else { continue }
            payloads.append(PresentPayload(record: record, state: state))
        }
        return payloads
    }

    /// The unwind tables of the payloads that the process has now; without one, a
    /// thread in its payload counts as busy for what its stack holds.
    func payloadUnwindTables() -> [UnwindTable] {
        guard let map = try? memoryMap(), let payloads = try? payloads(in: map) else { return [] }
        return payloads.compactMap(\.record.unwindTable)
    }

    /// The record at `start`, whatever it says; nil where none can be read.
    func payloadRecord(at start: RemoteAddress) throws(LiveProcessError) -> PayloadRecord? {
        let head = try read(start, count: PayloadHeader.size)
        guard let length = PayloadHeader.recordLength(head: head),
            let text = start.advanced(by: UInt64(PayloadHeader.size)),
            // A length that passes the end of the mapping is none of ours.
            let bytes = try? read(text, count: length)
        else { return nil }
        do throws(JSONError) {
            return try PayloadRecord(parsing: bytes)
        } catch {
            // Whatever it is, it is no payload of ours.
            return nil
        }
    }

    /// nil where the payload was not filled to its end.
    func payloadState(of record: PayloadRecord) throws(LiveProcessError) -> PayloadState? {
        guard let place = record.statePlace else { return nil }
        let count = record.detours.count
        let bytes = try read(place, count: Int(PayloadState.size(detourCount: count)))
        return PayloadState(parsing: bytes, detourCount: count)
    }
}

extension PayloadRecord {
    /// Whether the record can be what stands at `start`: its regions are mapped
    /// with their kinds of access, and its code lies in them.
    func isMapped(at start: RemoteAddress, in map: MemoryMap) -> Bool {
        guard extent.start == start, extent.range != nil, let readOnly = extent.readOnlyRange,
            let code = extent.codeRange, let writable = extent.writableRange,
            map.covers(readOnly, where: { $0.isReadable && !$0.isWritable && !$0.isExecutable }),
            map.covers(code, where: { $0.isExecutable && !$0.isWritable }),
            map.covers(writable, where: { $0.isWritable && !$0.isExecutable }),
            PayloadState.size(detourCount: detours.count) <= writable.count,
            PatchManifest.isValidName(name)
        else { return false }
        return detours.allSatisfy { detour in
            detour.isReachable && code.contains(detour.entry) && code.contains(detour.stub)
                && detour.moved.map(code.contains) ?? true
        }
    }

    /// Whether its sites are code still: the object may have been unloaded since.
    func hasSites(in map: MemoryMap) -> Bool {
        detours.allSatisfy { detour in
            detour.places.allSatisfy { range in
                map.covers(range) { $0.isExecutable && !$0.isWritable }
            }
        }
    }
}

extension PayloadRecord {
    /// nil where it has none. One that does not lie in the payload is none.
    var unwindTable: UnwindTable? {
        guard !unwind.isEmpty, let code = extent.codeRange, let readOnly = extent.readOnlyRange,
            readOnly.contains(unwind)
        else { return nil }
        let names = Dictionary(
            detours.map { ($0.entry, $0.symbol) }, uniquingKeysWith: { first, _ in first })
        return UnwindTable(name: name, code: code, place: unwind, functions: names)
    }
}

extension PayloadRecord.Detour {
    /// What a switch writes: the site, and the island where there is one.
    var places: [AddressRange<RemoteAddress>] {
        var places: [AddressRange<RemoteAddress>] = []
        if let range = AddressRange(start: site, count: UInt64(original.count)) {
            places.append(range)
        }
        if let island, let range = AddressRange(start: island.address, count: 5) {
            places.append(range)
        }
        return places
    }

    /// Where the function leads now; nil where something else stands there.
    func destination(in process: TargetProcess) throws(LiveProcessError) -> Destination? {
        let found = try process.read(site, count: original.count)
        let onIsland: [UInt8]? =
            if let island { try process.read(island.address, count: 5) } else { nil }
        return destination(site: found, island: onIsland)
    }
}

extension MemoryRegion {
    /// The kernel shows a memfd as `/memfd:NAME (deleted)`; where none was to be
    /// had, a payload lies in anonymous memory and only its head tells.
    var mayStartPayload: Bool {
        guard isReadable, !isWritable, !isExecutable else { return false }
        return isOfPayload && offset.rawValue == 0 || path.isEmpty
    }

    /// Whether its name says that it is of one of our payloads.
    var isOfPayload: Bool { path.hasPrefix("/memfd:" + PayloadHeader.mappingName(patch: "")) }
}
