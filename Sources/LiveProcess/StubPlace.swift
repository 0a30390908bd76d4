import Addresses
import ELFImage

/// Executable bytes of a process that nothing uses, held for one scope of remote
/// calls and given back as they were.
struct StubPlace {
    /// The stub and, behind it, room for one argument in memory.
    static let size = RemoteCallStub.size + argumentSize
    static let argumentSize = 64

    let stub: RemoteAddress
    let argument: RemoteAddress

    /// Finds a place: in the zero tail of the vDSO's last page, or else in that
    /// of an executable mapping of a file.
    ///
    /// Bytes that are not zero are passed over: they may be the stub of a run that
    /// was interrupted, and a thread may still be in it.
    static func find(in target: TargetProcess) throws(LiveProcessError) -> StubPlace {
        let map = try target.memoryMap()
        var tried: [String] = []
        if let region = map.region(named: "[vdso]") {
            tried.append("[vdso]")
            let image = try target.read(
                region.range.start, count: Int(min(region.range.count, 65536)))
            if let end = endOfVDSO(image), let unused = region.range.from(region.range.start, end),
                let place = try freePlace(in: unused, of: target)
            {
                return place
            }
        }
        for object in try target.loadedObjects(in: map) {
            tried.append(object.path)
            for unused in try unusedTails(of: object, in: target) {
                if let place = try freePlace(in: unused, of: target) { return place }
            }
        }
        throw .noRoomForStub(target.id, tried: tried)
    }

    /// The offset behind everything that the vDSO's headers mention.
    private static func endOfVDSO(_ image: [UInt8]) -> UInt64? {
        let view = ByteView(image)
        guard let programOffset = view.load(32, as: UInt64.self),
            let programCount = view.load(56, as: UInt16.self),
            let sectionOffset = view.load(40, as: UInt64.self),
            let sectionCount = view.load(60, as: UInt16.self)
        else { return nil }
        var end = max(
            programOffset &+ UInt64(programCount) * 56, sectionOffset &+ UInt64(sectionCount) * 64)
        for index in 0..<Int(programCount) {
            guard programOffset < image.count else { return nil }
            let header = Int(programOffset) + index * 56
            guard let offset = view.load(header + 8, as: UInt64.self),
                let size = view.load(header + 32, as: UInt64.self)
            else { return nil }
            end = max(end, offset &+ size)
        }
        return end <= image.count ? end : nil
    }

    /// What lies behind the end of each executable segment in its last page: the
    /// kernel maps whole pages.
    private static func unusedTails(
        of object: LoadedObject, in target: TargetProcess
    ) throws(LiveProcessError) -> [AddressRange<RemoteAddress>] {
        guard let first = object.regions.first,
            let headers = MappedHeaders(
                page: try target.read(first.range.start, count: 4096), mappedAt: first.range.start)
        else { return [] }
        var tails: [AddressRange<RemoteAddress>] = []
        for segment in headers.segments where segment.isLoaded && segment.isExecutable {
            guard let end = segment.address.advanced(by: segment.memorySize) else { continue }
            let start = headers.bias.remote(end)
            guard
                let region = object.textRegions.first(where: { $0.range.contains(start) }),
                !region.isWritable, !region.isShared,
                let tail = AddressRange(start: start, end: region.range.end), tail.count < 4096
            else { continue }
            tails.append(tail)
        }
        return tails
    }

    /// The first place of zeros in a range, at a multiple of its size: so it
    /// lies within one page, and one write to it is not split.
    private static func freePlace(
        in range: AddressRange<RemoteAddress>, of target: TargetProcess
    ) throws(LiveProcessError) -> StubPlace? {
        let size = UInt64(Self.size)
        let bytes = try target.read(range.start, count: Int(range.count))
        let skip = (size - range.start.rawValue % size) % size
        for offset in stride(from: skip, to: range.count, by: Self.size) {
            guard offset + size <= range.count else { break }
            let place = bytes[Int(offset)..<Int(offset + size)]
            guard place.allSatisfy({ $0 == 0 }), let stub = range.start.advanced(by: offset),
                let argument = stub.advanced(by: UInt64(RemoteCallStub.size))
            else { continue }
            return StubPlace(stub: stub, argument: argument)
        }
        return nil
    }
}

extension AddressRange where Space == RemoteAddress {
    /// The part of this range from `offset` bytes behind `start` on.
    fileprivate func from(_ start: RemoteAddress, _ offset: UInt64) -> AddressRange? {
        start.advanced(by: offset).flatMap { AddressRange(start: $0, end: end) }
    }
}
