import Addresses
import JSONText
import LiveProcess
import PatchFile
import PatchLinker

/// A payload found in a process, and what its sites say.
public struct AppliedPatch: Sendable {
    public enum State: String, Sendable {
        /// Every detour stands at its site.
        case applied
        /// None of its detours stands; the payload stays, since pointers to it
        /// may be anywhere.
        case reverted
        /// It was mapped and never switched in: what an interrupted run left.
        case unused
        /// Some detours stand, some do not: an interrupted run, or another tool.
        case mixed

        /// Whether code of the payload may be called through a detour.
        public var isSwitchedIn: Bool { self == .applied || self == .mixed }
    }

    public let record: PayloadRecord
    public let state: State
    /// Seconds since 1970, where the payload tells.
    public let appliedAt: UInt64?
}

extension TargetProcess {
    /// Every payload of ours in the process, in the order of their addresses.
    ///
    /// A record lies in the target's memory, which the target may have forged. It
    /// counts only where the kernel's list of mappings confirms its extent and
    /// its sites lie in executable memory of a file.
    public func appliedPatches(
        in map: MemoryMap
    ) throws(LiveProcessError) -> [AppliedPatch] {
        var patches: [AppliedPatch] = []
        for region in map.regions where region.mayStartPayload {
            guard let record = try payloadRecord(at: region.range.start, in: map) else { continue }
            patches.append(try applied(record))
        }
        return patches
    }

    private func payloadRecord(
        at start: RemoteAddress, in map: MemoryMap
    ) throws(LiveProcessError) -> PayloadRecord? {
        let head = try read(start, count: PayloadHeader.size)
        guard let length = PayloadHeader.recordLength(head: head),
            let text = start.advanced(by: UInt64(PayloadHeader.size)),
            let range = AddressRange(start: text, count: UInt64(length)),
            map.covers(range)
        else { return nil }
        let bytes = try read(text, count: length)
        let record: PayloadRecord
        do throws(JSONError) {
            record = try PayloadRecord(parsing: bytes)
        } catch {
            // Whatever it is, it is no payload of ours.
            return nil
        }
        return record.isPlausible(at: start, in: map) ? record : nil
    }

    private func applied(_ record: PayloadRecord) throws(LiveProcessError) -> AppliedPatch {
        var standing = 0
        for detour in record.detours
        where try read(detour.site, count: detour.original.count) == detour.jump {
            standing += 1
        }
        var appliedAt: UInt64?
        if let data = record.extent.writableRange {
            appliedAt = PayloadState.appliedAt(try read(data.start, count: PayloadState.size))
        }
        let state: AppliedPatch.State =
            standing == 0
            ? (appliedAt == nil ? .unused : .reverted)
            : standing == record.detours.count ? .applied : .mixed
        return AppliedPatch(record: record, state: state, appliedAt: appliedAt)
    }
}

extension PayloadRecord {
    /// Whether the record can be what stands at `start`: its regions are mapped
    /// with their kinds of access, and its sites are code.
    func isPlausible(at start: RemoteAddress, in map: MemoryMap) -> Bool {
        guard extent.start == start, let readOnly = extent.readOnlyRange,
            let code = extent.codeRange, let writable = extent.writableRange,
            map.covers(readOnly, where: { $0.isReadable && !$0.isWritable && !$0.isExecutable }),
            map.covers(code, where: { $0.isExecutable && !$0.isWritable }),
            map.covers(writable, where: { $0.isWritable && !$0.isExecutable }),
            PatchManifest.isValidName(name)
        else { return false }
        return detours.allSatisfy { detour in
            guard let site = AddressRange(start: detour.site, count: 5), detour.jump != nil else {
                return false
            }
            return code.contains(detour.entry)
                && map.covers(site, where: { $0.isExecutable && !$0.isWritable })
        }
    }
}

extension MemoryRegion {
    /// The kernel shows a memfd as `/memfd:NAME (deleted)`; where none was to be
    /// had, a payload lies in anonymous memory and only its head tells.
    var mayStartPayload: Bool {
        guard isReadable, !isWritable, !isExecutable else { return false }
        return path.hasPrefix("/memfd:hotpatch:") && offset.rawValue == 0 || path.isEmpty
    }
}
