import Addresses
import ELFImage

/// Executable bytes of a process that nothing uses, held for one scope of remote
/// calls and given back as they were: zeros.
struct StubPlace: Equatable {
    /// The stub and, behind it, room for one argument in memory. Places lie at
    /// multiples of it: so each lies within a page, and one write to it is not split.
    static let size = RemoteCallStub.size + argumentSize
    static let argumentSize = 64

    let stub: RemoteAddress
    /// Bytes: ``size`` for one call, more for a ``HeldRunStub``.
    var size = StubPlace.size

    var argument: RemoteAddress {
        RemoteAddress(rawValue: stub.rawValue &+ UInt64(RemoteCallStub.size))
    }

    func contains(_ address: UInt64) -> Bool {
        address >= stub.rawValue && address - stub.rawValue < UInt64(size)
    }
}

/// The places of a process: in the zero tail of the vDSO's last page, and in those
/// of the executable segments of its objects.
struct StubPlaces {
    private(set) var free: [StubPlace] = []
    /// Those that hold the stub of a run that was killed. A thread may still be in
    /// one, or come back to it from a signal handler.
    private(set) var abandoned: [StubPlace] = []
    /// What was looked at, for messages.
    private(set) var searched: [String] = []

    /// Two free places beside each other that hold a ``HeldRunStub``.
    var freeForRun: StubPlace? {
        free.indices.dropLast().first { index in
            free[index].stub.rawValue % UInt64(HeldRunStub.size) == 0
                && free[index + 1].stub.rawValue &- free[index].stub.rawValue
                    == UInt64(StubPlace.size)
        }.map { StubPlace(stub: free[$0].stub, size: HeldRunStub.size) }
    }

    /// Looks until there are free places, or everywhere.
    init(in target: TargetProcess, everywhere: Bool) throws(LiveProcessError) {
        let map = try target.memoryMap()
        if let region = map.region(named: "[vdso]") {
            searched.append("[vdso]")
            try collect(target.unusedTail(ofVDSO: region), of: target)
        }
        if !everywhere, !free.isEmpty { return }
        for object in try target.loadedObjects(in: map) {
            searched.append(object.path)
            for tail in try target.unusedTails(of: object) { try collect(tail, of: target) }
            if !everywhere, !free.isEmpty { return }
        }
    }

    private mutating func collect(
        _ range: AddressRange<RemoteAddress>?, of target: TargetProcess
    ) throws(LiveProcessError) {
        guard let range else { return }
        let size = UInt64(StubPlace.size)
        let bytes = try target.read(range.start, count: Int(range.count))
        let skip = (size - range.start.rawValue % size) % size
        for offset in stride(from: skip, to: range.count, by: StubPlace.size) {
            guard range.count - offset >= size, let stub = range.start.advanced(by: offset) else {
                return
            }
            let content = bytes[Int(offset)..<Int(offset + size)]
            if content.allSatisfy({ $0 == 0 }) {
                free.append(StubPlace(stub: stub))
            } else if RemoteCallStub.isStub(content) {
                abandoned.append(StubPlace(stub: stub))
            } else if HeldRunStub.isStub(content), range.count - offset >= HeldRunStub.size {
                abandoned.append(StubPlace(stub: stub, size: HeldRunStub.size))
            }
        }
    }
}

extension TargetProcess {
    /// What lies behind everything that the vDSO's headers mention.
    fileprivate func unusedTail(
        ofVDSO region: MemoryRegion
    ) throws(LiveProcessError) -> AddressRange<RemoteAddress>? {
        let image = ByteView(
            try read(region.range.start, count: Int(min(region.range.count, 65536))))
        guard let programOffset = image.load(32, as: UInt64.self),
            programOffset < image.count, let programCount = image.load(56, as: UInt16.self),
            let sectionOffset = image.load(40, as: UInt64.self), sectionOffset < image.count,
            let sectionCount = image.load(60, as: UInt16.self)
        else { return nil }
        var end = max(
            programOffset + UInt64(programCount) * 56, sectionOffset + UInt64(sectionCount) * 64)
        for index in 0..<Int(programCount) {
            let header = Int(programOffset) + index * 56
            guard let offset = image.load(header + 8, as: UInt64.self), offset < image.count,
                let size = image.load(header + 32, as: UInt64.self), size < image.count
            else { return nil }
            end = max(end, offset + size)
        }
        return region.range.start.advanced(by: end).flatMap {
            AddressRange(start: $0, end: region.range.end)
        }
    }

    /// What lies behind the end of each executable segment in its last page: the
    /// kernel maps whole pages.
    fileprivate func unusedTails(
        of object: LoadedObject
    ) throws(LiveProcessError) -> [AddressRange<RemoteAddress>] {
        guard let first = object.regions.first,
            let headers = MappedHeaders(
                page: try read(first.range.start, count: 4096), mappedAt: first.range.start)
        else { return [] }
        var tails: [AddressRange<RemoteAddress>] = []
        for segment in headers.segments where segment.isLoaded && segment.isExecutable {
            guard let end = segment.address.advanced(by: segment.memorySize) else { continue }
            let start = headers.bias.remote(end)
            guard let region = object.textRegions.first(where: { $0.range.contains(start) }),
                !region.isWritable, !region.isShared,
                let tail = AddressRange(start: start, end: region.range.end), tail.count < 4096
            else { continue }
            tails.append(tail)
        }
        return tails
    }
}

// MARK: What killed runs left

extension TargetProcess {
    /// Whether a killed run has left a stub in the process.
    public func hasAbandonedStubs() throws(LiveProcessError) -> Bool {
        try !StubPlaces(in: self, everywhere: true).abandoned.isEmpty
    }

    /// Clears the stubs that killed runs left in the process, all of them that no
    /// thread is in and no stack leads to. Returns how many were cleared and how
    /// many had to stay. Stops all threads for a moment where there are any.
    @discardableResult
    public func clearAbandonedStubs() throws(LiveProcessError) -> (cleared: Int, kept: Int) {
        let places = try StubPlaces(in: self, everywhere: true).abandoned
        guard !places.isEmpty else { return (0, 0) }
        let map = try memoryMap()
        var inUse = [Bool](repeating: false, count: places.count)
        var words = [UInt64](repeating: 0, count: 8192)
        let outcome = try withAllThreadsStopped(judging: { thread in
            note(thread.registers.programCounter.rawValue, places, &inUse)
            let reading = showStacks(of: thread, in: map, buffer: &words) { words, _ in
                for index in words.indices { note(words[index], places, &inUse) }
                return true
            }
            // Where a thread's stacks are not known, nothing is certain.
            if case .shownAll = reading { return .fine }
            return .giveUp
        }) { process -> Result<Int, LiveProcessError> in
            var cleared = 0
            do throws(LiveProcessError) {
                for (place, inUse) in zip(places, inUse) where !inUse {
                    try process.write(
                        [UInt8](repeating: 0, count: place.size), at: place.stub)
                    cleared += 1
                }
            } catch {
                return .failure(error)
            }
            return .success(cleared)
        }
        guard case .done(let result, _) = outcome else { return (0, places.count) }
        let cleared = try result.get()
        return (cleared, places.count - cleared)
    }

    private func note(_ word: UInt64, _ places: [StubPlace], _ inUse: inout [Bool]) {
        for (index, place) in places.enumerated() where place.contains(word) { inUse[index] = true }
    }
}
