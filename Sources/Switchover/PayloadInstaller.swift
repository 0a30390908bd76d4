import Addresses
import LiveProcess
import PatchLinker
import SystemPackage

/// Brings a payload into a process that runs on meanwhile. A payload that no
/// detour leads to yet is dead weight: nothing of the target can notice it.
struct PayloadInstaller {
    let plan: PatchPlan
    let options: SwitchOptions
    /// Room to give back before more is taken.
    var emptyRooms: [AddressRange<RemoteAddress>] = []

    /// Another thread of the target may take the chosen place between looking
    /// and mapping; then the next one is tried.
    private static let attempts = 16

    /// Maps and fills the payload. On failure nothing of it is left behind.
    func install() throws(SwitchoverError) -> LinkedPayload {
        try plan.process.looked { _ throws(LiveProcessError) in try giveBackRooms() }
        var taken: Set<RemoteAddress> = []
        for _ in 0..<Self.attempts {
            let linked = try link(avoiding: taken)
            options.observe(.mapping)
            do throws(LiveProcessError) {
                try map(linked)
                return linked
            } catch .remoteCall(_, _, .fileExists) {
                taken.insert(linked.record.extent.start)
            } catch {
                throw .process(error)
            }
        }
        throw noRoom()
    }

    private func giveBackRooms() throws(LiveProcessError) {
        guard !emptyRooms.isEmpty else { return }
        try plan.process.withRemoteCalls(seccomp: options.seccomp) {
            calls throws(LiveProcessError) in
            for room in emptyRooms { try calls.unmap(room) }
        }
    }

    /// The payload as it would be mapped now, without mapping it.
    func linkedAnywhere() throws(SwitchoverError) -> LinkedPayload { try link(avoiding: []) }

    private func link(
        avoiding taken: Set<RemoteAddress>
    ) throws(SwitchoverError) -> LinkedPayload {
        let map = try plan.process.looked { p throws(LiveProcessError) in try p.memoryMap() }
        guard
            let start = Placement.start(
                forSize: plan.payload.size, near: plan.base.object.range,
                program: plan.program?.range, in: map, excluding: taken)
        else { throw noRoom() }
        do throws(LinkError) {
            return try plan.payload.link(at: start)
        } catch {
            throw .refused([.link(code: error.code, message: error.description)])
        }
    }

    private func noRoom() -> SwitchoverError {
        let error = LinkError.noRoom(bytes: plan.payload.size, object: plan.base.object.range)
        return .refused([.link(code: error.code, message: error.description)])
    }

    private func map(_ payload: LinkedPayload) throws(LiveProcessError) {
        try plan.process.withRemoteCalls(seccomp: options.seccomp) {
            calls throws(LiveProcessError) in
            if try mapFileAtOnce(payload, by: &calls) { return }
            do throws(LiveProcessError) {
                try mapFile(payload, by: &calls)
            } catch .remoteCall(_, _, let errno) where Self.forbidsMemoryFiles(errno) {
                // No memfd, or none that may be executed (vm.memfd_noexec, SELinux), or the
                // process may open no more files.
                try mapAnonymous(payload, by: &calls)
            }
        }
    }

    private static func forbidsMemoryFiles(_ errno: Errno) -> Bool {
        [
            .permissionDenied, .notPermitted, .noFunction, .noMemory, .tooManyOpenFiles,
            .tooManyOpenFilesInSystem,
        ].contains(errno)
    }

    /// A sealed file in memory gives the payload its name in `/proc/PID/maps`,
    /// and makes it shared with nobody: private mappings of bytes that can no
    /// longer change.
    private func mapFile(
        _ payload: LinkedPayload, by calls: inout RemoteCalls
    ) throws(LiveProcessError) {
        let file = try calls.createMemoryFile(
            named: PayloadHeader.mappingName(patch: payload.record.name))
        do throws(LiveProcessError) {
            options.observe(.filling)
            try plan.process.fill(file, with: payload.image)
            try mapRegions(of: payload, from: file, by: &calls)
            try verify(payload, by: &calls)
        } catch {
            try calls.close(file)
            throw error
        }
        try calls.close(file)
    }

    /// The same of a process that is held and has not run yet; false where it is to be
    /// done call by call.
    private func mapFileAtOnce(
        _ payload: LinkedPayload, by calls: inout RemoteCalls
    ) throws(LiveProcessError) -> Bool {
        let name = PayloadHeader.mappingName(patch: payload.record.name)
        guard let file = try calls.mapMemoryFile(named: name, as: Self.regions(of: payload))
        else { return false }
        options.observe(.filling)
        do throws(LiveProcessError) {
            try plan.process.fill(file, with: payload.image)
        } catch {
            if let range = payload.record.extent.range { try calls.unmap(range) }
            return false
        }
        try verify(payload, by: &calls)
        return true
    }

    private func mapAnonymous(
        _ payload: LinkedPayload, by calls: inout RemoteCalls
    ) throws(LiveProcessError) {
        try mapRegions(of: payload, from: nil, by: &calls)
        do throws(LiveProcessError) {
            // The mark of a complete payload comes last.
            let extent = payload.record.extent
            let mark = Int(extent.readOnly + extent.code)
            var image = payload.image
            image.replaceSubrange(mark..<mark + 8, with: repeatElement(0, count: 8))
            try plan.process.write(image, at: extent.start)
            if let data = extent.writableRange?.start {
                try plan.process.write(Array(payload.image[mark..<mark + 8]), at: data)
            }
        } catch {
            if let range = payload.record.extent.range { try calls.unmap(range) }
            throw error
        }
        try verify(payload, by: &calls)
    }

    /// Whatever the target did to the file meanwhile: what is mapped is the payload.
    private func verify(
        _ payload: LinkedPayload, by calls: inout RemoteCalls
    ) throws(LiveProcessError) {
        guard let range = payload.record.extent.range else { return }
        do throws(LiveProcessError) {
            let found = try plan.process.read(range.start, count: payload.image.count)
            guard found == payload.image else {
                throw .writeNotSeen(plan.process.id, range: range)
            }
        } catch {
            try calls.unmap(range)
            throw error
        }
    }

    /// Each region with its one kind of access.
    private static func regions(
        of payload: LinkedPayload
    ) -> [(AddressRange<RemoteAddress>, RemoteProtection)] {
        let extent = payload.record.extent
        let regions: [(AddressRange<RemoteAddress>?, RemoteProtection)] = [
            (extent.readOnlyRange, [.read]), (extent.codeRange, [.read, .execute]),
            (extent.writableRange, [.read, .write]),
        ]
        return regions.compactMap { range, protection in range.map { ($0, protection) } }
    }

    /// All or none.
    private func mapRegions(
        of payload: LinkedPayload, from file: RemoteMemoryFile?, by calls: inout RemoteCalls
    ) throws(LiveProcessError) {
        var mapped: [AddressRange<RemoteAddress>] = []
        for (range, protection) in Self.regions(of: payload) {
            let offset = range.start.distance(from: payload.record.extent.start) ?? 0
            do throws(LiveProcessError) {
                try calls.map(
                    range, protection, from: file, at: FileOffset(rawValue: offset))
            } catch {
                for range in mapped { try calls.unmap(range) }
                throw error
            }
            mapped.append(range)
        }
    }

    /// Takes a payload out again that no detour has ever led to.
    func remove(_ payload: LinkedPayload) throws(LiveProcessError) {
        guard let range = payload.record.extent.range else { return }
        try plan.process.withRemoteCalls(seccomp: options.seccomp) {
            calls throws(LiveProcessError) in
            try calls.unmap(range)
        }
    }
}
