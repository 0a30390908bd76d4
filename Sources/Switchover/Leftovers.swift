import Addresses
import LiveProcess
import Logging
import PatchLinker

/// What interrupted runs have left in a process and no program or patch needs:
/// mappings that nothing ever led to, open files in memory, stubs, a lifted limit.
struct Leftovers {
    private(set) var mappings: [AddressRange<RemoteAddress>] = []
    private(set) var files: [RemoteMemoryFile] = []
    private(set) var hasStubs = false
    /// Files in memory that tell what the limit of address space was.
    private(set) var notes: [RemoteMemoryFile] = []

    var isEmpty: Bool { mappings.isEmpty && files.isEmpty && !hasStubs && notes.isEmpty }

    init(in process: TargetProcess) throws(LiveProcessError) {
        let map = try process.memoryMap()
        let stack = try PatchStack(of: process, in: map)
        for region in map.regions where region.mayStartPayload {
            guard let record = try process.payloadRecord(at: region.range.start),
                record.extent.start == region.range.start, let range = record.extent.range
            else {
                if try process.isUnfilledPayload(region) {
                    mappings += map.regions.filter { $0.isOfFile(of: region) }.map(\.range)
                }
                continue
            }
            let isInUse = stack.payloads.indices.contains { number in
                stack.payloads[number].record.extent.start == record.extent.start
                    && stack.isInUse(number)
            }
            guard !isInUse, !record.mayBeLed(to: range, in: process),
                try wasNeverLive(record, of: region, in: map, process)
            else { continue }
            mappings += map.regions.filter { other in
                range.contains(other.range) && other.path == region.path
            }.map(\.range)
        }
        files = try process.memoryFiles(namedWithPrefix: PayloadHeader.mappingName(patch: ""))
        hasStubs = try process.hasAbandonedStubs()
        notes = try process.notesOfLiftedLimits()
    }

    /// Whether it is certain that nothing has ever led to the payload. What cannot be
    /// told stays: pointers to it may be anywhere.
    private func wasNeverLive(
        _ record: PayloadRecord, of region: MemoryRegion, in map: MemoryMap,
        _ process: TargetProcess
    ) throws(LiveProcessError) -> Bool {
        if record.isSound(at: region.range.start), record.isMapped(in: map) {
            if let state = try process.payloadState(of: record) { return !state.isLive }
            // A nameless mapping that was not filled to its end has no state yet.
            guard !region.isOfPayload, let place = record.statePlace else { return false }
            return try process.read(place, count: 64).allSatisfy { $0 == 0 }
        }
        // The writable region is mapped last and unmapped first, and without it a
        // payload has no state. Nameless ones are indistinguishable from what the
        // program itself has mapped there since.
        guard region.isOfPayload, let writable = record.extent.writableRange else { return false }
        return !map.regions.contains { $0.range.overlaps(writable) && $0.isOfPayload }
    }

    /// Takes all of it out. Threads may still be in a stub; then it stays.
    func remove(
        from process: TargetProcess, _ options: SwitchOptions, noting report: inout RecoveryReport
    ) throws(LiveProcessError) {
        for note in notes { try process.restoreLimit(from: note) }
        if hasStubs {
            let (cleared, kept) = try process.clearAbandonedStubs()
            report.stubsCleared = cleared
            report.stubsKept = kept
        }
        guard !mappings.isEmpty || !files.isEmpty || !notes.isEmpty else { return }
        do throws(LiveProcessError) {
            try process.withRemoteCalls(seccomp: options.seccomp) {
                calls throws(LiveProcessError) in
                for file in files + notes { try calls.close(file) }
                // The head that tells what the others are goes last: whoever kills
                // this in between leaves what the next run knows for a payload's rest.
                for mapping in mappings.reversed() { try calls.unmap(mapping) }
            }
            report.filesClosed = files.count + notes.count
            report.payloadsRemoved = mappings.isEmpty ? 0 : 1
        } catch .seccomp(let id, let thread, let obstacle) {
            // It does no harm where it is.
            let reason = LiveProcessError.seccomp(id, thread: thread, obstacle)
            Logger(label: "hotpatch.recover").notice(
                "what an interrupted run left stays: \(reason)")
        }
    }
}

extension TargetProcess {
    /// Whether a payload was mapped there that has never got its contents, so that
    /// nothing can lead to it.
    fileprivate func isUnfilledPayload(
        _ region: MemoryRegion
    ) throws(LiveProcessError) -> Bool {
        guard region.isOfPayload else { return false }
        // Of an empty file nothing can be read.
        guard let head = try? read(region.range.start, count: PayloadHeader.size) else {
            return true
        }
        return head.allSatisfy { $0 == 0 }
    }
}

extension MemoryRegion {
    /// Whether both map the same file in memory.
    fileprivate func isOfFile(of other: MemoryRegion) -> Bool {
        isOfPayload && inode == other.inode && device == other.device
    }
}

extension PayloadRecord {
    /// Whether a jump at one of its sites leads into `range`, or what stands there
    /// cannot be read.
    fileprivate func mayBeLed(
        to range: AddressRange<RemoteAddress>, in process: TargetProcess
    ) -> Bool {
        detours.contains { detour in
            do throws(LiveProcessError) {
                guard case .code(let target)? = try detour.destination(in: process) else {
                    return false
                }
                return range.contains(target)
            } catch {
                return true
            }
        }
    }
}
