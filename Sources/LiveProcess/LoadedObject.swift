import Addresses
import ELFImage
import Glibc
import SystemPackage

/// An ELF object of which a process has code mapped: its program or a library.
public struct LoadedObject: Sendable {
    /// As the process's mount namespace knows the file.
    public let path: String
    /// The file was removed or replaced after it was mapped.
    public let isDeleted: Bool
    /// It is what the process was started from, not a library.
    public let isProgram: Bool
    public let bias: LoadBias
    /// From its first to behind its last loaded byte, gaps included.
    public let range: AddressRange<RemoteAddress>
    /// The mappings of its file in that range. Zero-initialised data is not among them.
    public let regions: [MemoryRegion]
    /// Where its dynamic section (`_DYNAMIC`) is in the process.
    public let dynamicSection: AddressRange<RemoteAddress>?
    /// The build id as it stands in the process's memory.
    public let buildID: BuildID?

    /// The mappings that hold code.
    public var textRegions: [MemoryRegion] { regions.filter(\.isExecutable) }
    /// The file's inode; the same for every name of the file.
    public var inode: UInt64 { regions.first?.inode ?? 0 }
}

extension TargetProcess {
    /// The objects that the process has loaded, by address. Takes the permission
    /// to trace it.
    public func loadedObjects() throws(LiveProcessError) -> [LoadedObject] {
        try mapAndObjects().objects
    }

    /// The mappings and the objects among them, at one moment.
    public func mapAndObjects() throws(LiveProcessError) -> (
        map: MemoryMap, objects: [LoadedObject]
    ) {
        let map = try memoryMap()
        let objects = try whileStanding(standing?.objects) { () throws(LiveProcessError) in
            try loadedObjects(in: map)
        }
        return (map, objects)
    }

    /// The objects that a map shows, by address.
    public func loadedObjects(in map: MemoryMap) throws(LiveProcessError) -> [LoadedObject] {
        let starts = map.regions.indices.filter { index in
            let region = map.regions[index]
            return region.isFile && region.isReadable && region.offset.rawValue == 0
        }
        let pages = try firstPages(of: starts.map { map.regions[$0] })
        let programHeaders = try auxiliaryVector()[3]  // AT_PHDR
        var objects: [LoadedObject] = []
        for (start, page) in zip(starts, pages) {
            let first = map.regions[start]
            // lld maps the first page of a small file again, for each segment in it.
            if let last = objects.last, last.range.contains(first.range.start),
                last.inode == first.inode
            {
                continue
            }
            guard let headers = MappedHeaders(page: page, mappedAt: first.range.start),
                headers.extent.contains(first.range.start)
            else { continue }
            let regions = map.regions[start...].prefix {
                $0.range.start < headers.extent.end
            }.filter { $0.inode == first.inode && $0.device == first.device }
            // A file that is only read, as by a linker or a debugger, runs nothing.
            guard regions.contains(where: \.isExecutable) else { continue }
            objects.append(
                LoadedObject(
                    path: first.path, isDeleted: first.isDeleted,
                    isProgram: programHeaders.map {
                        headers.extent.contains(RemoteAddress(rawValue: $0))
                    } ?? false,
                    bias: headers.bias, range: headers.extent, regions: regions,
                    dynamicSection: headers.dynamicRange,
                    buildID: buildID(headers, page, mappedAt: first.range.start)))
        }
        return objects
    }

    /// The first page of each mapping; empty where it cannot be read (a file that
    /// became shorter than its mapping).
    private func firstPages(
        of regions: [MemoryRegion]
    ) throws(LiveProcessError) -> [[UInt8]] {
        let ranges = regions.compactMap { AddressRange(start: $0.range.start, count: 4096) }
        do throws(LiveProcessError) {
            return try read(ranges)
        } catch .unreadable {
            return ranges.map { (try? read($0.start, count: 4096)) ?? [] }
        }
    }

    /// The build id from an object's notes, which mostly lie in its first page.
    private func buildID(
        _ headers: MappedHeaders, _ page: [UInt8], mappedAt start: RemoteAddress
    ) -> BuildID? {
        for range in headers.noteRanges {
            let notes: [UInt8]
            if let offset = range.start.distance(from: start),
                offset <= UInt64(page.count), range.count <= UInt64(page.count) - offset
            {
                notes = Array(page[Int(offset)..<Int(offset + range.count)])
            } else {
                notes = (try? read(range.start, count: Int(range.count))) ?? []
            }
            if let id = BuildID(inNotes: notes) { return id }
        }
        return nil
    }
}

extension TargetProcess {
    /// The file of a loaded object, exactly the one that is mapped: also where
    /// its name now leads to another file, to none, or is a name of another
    /// mount namespace.
    ///
    /// Throws `fileUnavailable`, or `image` where it is not a sound ELF object.
    public func openImage(of object: LoadedObject) throws(LiveProcessError) -> ELFImage {
        let file = try open(object)
        do {
            return try ELFImage.open(descriptor: file.rawValue, name: object.path)
        } catch {
            throw .image(id, error)
        }
    }

    /// Calls `body` with a descriptor of the object's file, exactly the one that
    /// is mapped; it is closed afterwards.
    ///
    /// Throws `fileUnavailable`.
    public func withFile<R>(
        of object: LoadedObject, _ body: (Int32) -> R
    ) throws(LiveProcessError) -> R {
        let file = try open(object)
        return body(file.rawValue)
    }

    /// The file that now has the name of a loaded object, and that a restart would
    /// load; nil where it is the one that is mapped.
    ///
    /// Throws `fileUnavailable` where no file has that name, or `image` where it is
    /// not a sound ELF object.
    public func successor(of object: LoadedObject) throws(LiveProcessError) -> ELFImage? {
        guard let region = object.regions.first else { return nil }
        let file: Descriptor
        do throws(Errno) {
            // What lies there now may be a pipe that nobody writes to.
            file = try Descriptor.open(
                "root" + object.path, in: memberFolder.rawValue, O_RDONLY | O_NONBLOCK)
            if try file.identity().inode == region.inode, !object.isDeleted { return nil }
        } catch {
            throw .fileUnavailable(id, path: object.path, reason: "\(error)")
        }
        do {
            return try ELFImage.open(descriptor: file.rawValue, name: object.path)
        } catch {
            throw .image(id, error)
        }
    }

    private func open(_ object: LoadedObject) throws(LiveProcessError) -> Descriptor {
        guard let region = object.regions.first else {
            throw .fileUnavailable(id, path: object.path, reason: "nothing of it is mapped")
        }
        // Both of these lead to the mapped file itself, whatever its name leads to.
        if object.isProgram, let file = openIfSame("exe", in: memberFolder, region) { return file }
        let start = String(region.range.start.rawValue, radix: 16)
        let end = String(region.range.end.rawValue, radix: 16)
        if let file = openIfSame("map_files/\(start)-\(end)", in: folder, region) { return file }
        // The former needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE: else by name.
        if object.isDeleted {
            throw .fileUnavailable(
                id, path: object.path,
                reason: "it was removed or replaced, and only root can open it now")
        }
        guard let file = openIfSame("root" + object.path, in: memberFolder, region) else {
            throw .fileUnavailable(
                id, path: object.path, reason: "that name does not lead to the mapped file")
        }
        let page = try read(region.range.start, count: 4096)
        guard let same = try? file.read(at: 0, count: 4096), page.starts(with: same) else {
            throw .fileUnavailable(
                id, path: object.path, reason: "the file differs from what is mapped")
        }
        return file
    }

    /// Opens a file below /proc/PID. nil where it is not there, or not the one
    /// of the mapping. By inode only: on overlay file systems stat(2) and the
    /// mapping name different devices.
    private func openIfSame(
        _ name: String, in folder: Descriptor, _ region: MemoryRegion
    ) -> Descriptor? {
        do throws(Errno) {
            let file = try Descriptor.open(name, in: folder.rawValue)
            return try file.identity().inode == region.inode ? file : nil
        } catch {
            // The caller has another way to the file, or says that there is none.
            return nil
        }
    }
}
