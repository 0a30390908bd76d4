import Addresses
import ELFImage
import JSONText
import LiveProcess
import PatchFile
import PatchLinker
import Quiescence

/// A payload found in a process, with its state at that moment.
struct PresentPayload {
    let record: PayloadRecord
    let state: PayloadState
    /// nil where nothing runs once, or where that cannot be told.
    var once: OnceProgress?
}

/// The payloads of a process.
struct FoundPayloads {
    /// Those whose records and states are sound, and whose sites are code.
    var present: [PresentPayload] = []
    /// Those whose object the process has unloaded, their sites with it.
    var unloaded: [PresentPayload] = []
    /// Those that functions lead to although the process has spoiled what tells of
    /// their state.
    var damaged: [DamagedPayload] = []
}

/// A payload that functions lead to, and that nothing can be done about, since its
/// state is lost.
struct DamagedPayload {
    let record: PayloadRecord
    let damage: PayloadDamage
}

/// What a process has done to a payload.
public enum PayloadDamage: Hashable, Sendable {
    /// The state that starts at that address is none.
    case stateOverwritten(RemoteAddress)
    /// The state does not tell what a function led to before.
    case historyOverwritten
    /// Not all of it is mapped any more, or not with its kinds of access.
    case mappingsChanged

    public var description: String {
        switch self {
        case .stateOverwritten(let address): "the process has overwritten its state at \(address)"
        case .historyOverwritten: "the process has overwritten what is beneath it"
        case .mappingsChanged: "the process has changed its mappings"
        }
    }
}

extension TargetProcess {
    /// Every complete payload of ours in the process, in the order of their addresses.
    ///
    /// A record lies in the target's memory, which the target may have forged. It
    /// counts only where the kernel's list of mappings confirms its extent and
    /// its sites lie in executable memory of a file; or where jumps lead to it.
    func payloads(in map: MemoryMap) throws(LiveProcessError) -> FoundPayloads {
        var found = FoundPayloads()
        for region in map.regions where region.mayStartPayload || region.isHeadOfPayload {
            let start = region.range.start
            guard let record = try payloadRecord(at: start), record.isSound(at: start) else {
                continue
            }
            guard record.isMapped(in: map) else {
                found.note(record, .mappingsChanged, in: self)
                continue
            }
            guard let state = try payloadState(of: record) else {
                if let place = record.statePlace {
                    found.note(record, .stateOverwritten(place), in: self)
                }
                continue
            }
            let payload = PresentPayload(
                record: record, state: state, once: onceProgress(of: record))
            if record.hasSites(in: map) {
                found.present.append(payload)
            } else {
                found.unloaded.append(payload)
            }
        }
        return found
    }

    /// The unwind tables of the payloads that the process has now; without one, a
    /// thread in its payload counts as busy for what its stack holds.
    func payloadUnwindTables() -> [UnwindTable] {
        guard let map = try? memoryMap(), let payloads = try? payloads(in: map).present else {
            return []
        }
        return payloads.compactMap(\.record.unwindTable)
    }

    /// The record at `start`, whatever it says; nil where it is none.
    func payloadRecord(at start: RemoteAddress) throws(LiveProcessError) -> PayloadRecord? {
        let head: [UInt8]
        do throws(LiveProcessError) {
            head = try read(start, count: PayloadHeader.size)
        } catch .unreadable {
            // Mapped by a run that was killed before there was anything in the file.
            return nil
        }
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

    private func onceProgress(of record: PayloadRecord) -> OnceProgress? {
        guard let place = record.onceWord, let writable = record.extent.writableRange,
            writable.contains(place), let bytes = try? read(place, count: 8)
        else { return nil }
        return ByteView(bytes).load(0, as: UInt64.self).map(OnceProgress.init(word:))
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
    /// Whether the record can be what stands at `start`: its code lies in it.
    func isSound(at start: RemoteAddress) -> Bool {
        guard extent.start == start, extent.range != nil, let code = extent.codeRange,
            let writable = extent.writableRange,
            PayloadState.size(detourCount: detours.count) <= writable.count,
            PatchManifest.isValidName(name)
        else { return false }
        return detours.allSatisfy { detour in
            detour.isReachable && code.contains(detour.entry) && code.contains(detour.stub)
                && detour.moved.map(code.contains) ?? true
        }
    }

    /// Whether its regions are mapped, with their kinds of access.
    func isMapped(in map: MemoryMap) -> Bool {
        guard let readOnly = extent.readOnlyRange, let code = extent.codeRange,
            let writable = extent.writableRange
        else { return false }
        return map.covers(readOnly) { $0.isReadable && !$0.isWritable && !$0.isExecutable }
            && map.covers(code) { $0.isExecutable && !$0.isWritable }
            && map.covers(writable) { $0.isWritable && !$0.isExecutable }
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

extension FoundPayloads {
    /// Notes what has become of a payload, where one of its functions still leads there:
    /// otherwise it is what an interrupted run has left, or nobody's concern.
    fileprivate mutating func note(
        _ record: PayloadRecord, _ damage: PayloadDamage, in process: TargetProcess
    ) {
        let isInForce = record.detours.contains { detour in
            guard case .code(let target)? = try? detour.destination(in: process) else {
                return false
            }
            return record.extent.codeRange?.contains(target) ?? false
        }
        if isInForce { damaged.append(DamagedPayload(record: record, damage: damage)) }
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

    /// Whether its name says that a payload starts there, whatever access it has now.
    var isHeadOfPayload: Bool { isReadable && isOfPayload && offset.rawValue == 0 }

    /// Whether its name says that it is of one of our payloads.
    var isOfPayload: Bool { path.hasPrefix("/memfd:" + PayloadHeader.mappingName(patch: "")) }
}
