import Addresses

/// One mapping of a process: a line of /proc/PID/maps (proc_pid_maps(5)).
public struct MemoryRegion: Hashable, Sendable {
    public let range: AddressRange<RemoteAddress>
    public let isReadable: Bool
    public let isWritable: Bool
    public let isExecutable: Bool
    /// Writes are seen by everyone who maps the file, and may reach it.
    public let isShared: Bool
    /// Where in the file the mapping starts.
    public let offset: FileOffset
    /// The device as the kernel numbers it: major << 32 | minor. 0 without a file.
    /// On overlay file systems it differs from what stat(2) says.
    public let device: UInt64
    /// 0 without a file.
    public let inode: UInt64
    /// The file's name, a name in brackets (`[stack]`), or nothing.
    public let path: String
    /// The file has been removed or replaced since. `path` is without the remark.
    public let isDeleted: Bool

    /// A mapping of a file, as opposed to anonymous memory.
    public var isFile: Bool { inode != 0 }
}

/// The mappings of a process, by address.
public struct MemoryMap: Sendable {
    /// Ascending; they do not overlap.
    public let regions: [MemoryRegion]

    /// Reads the text of /proc/PID/maps. nil where a line is not of its form.
    init?(parsing text: [UInt8]) {
        var cursor = TextCursor(text)
        var regions: [MemoryRegion] = []
        while !cursor.isAtEnd {
            guard let region = MemoryRegion(parsing: &cursor) else { return nil }
            // The kernel writes page by page; a mapping that grew between two
            // pages may appear twice.
            if let last = regions.last, region.range.start < last.range.end { continue }
            regions.append(region)
        }
        self.regions = regions
    }

    /// The mapping that holds an address. Allocates nothing.
    public func region(at address: RemoteAddress) -> MemoryRegion? {
        index(at: address).map { regions[$0] }
    }

    /// The position in `regions` of the mapping that holds an address.
    public func index(at address: RemoteAddress) -> Int? {
        var low = 0
        var high = regions.count
        while low < high {
            let middle = (low + high) / 2
            if regions[middle].range.end <= address { low = middle + 1 } else { high = middle }
        }
        return low < regions.count && regions[low].range.contains(address) ? low : nil
    }

    /// The first mapping with this name: `[stack]`, `[vdso]`, `[heap]`.
    public func region(named name: String) -> MemoryRegion? {
        regions.first { $0.path == name && !$0.isFile }
    }
}

extension MemoryRegion {
    /// `55d0c0a00000-55d0c0a01000 r-xp 00001000 fe:00 332717    /usr/bin/cat`
    fileprivate init?(parsing cursor: inout TextCursor) {
        guard let start = cursor.number(radix: 16), cursor.skip("-"),
            let end = cursor.number(radix: 16), cursor.skip(" "),
            let range = AddressRange(
                start: RemoteAddress(rawValue: start), end: RemoteAddress(rawValue: end)),
            let read = cursor.take(), let write = cursor.take(), let execute = cursor.take(),
            let share = cursor.take(), cursor.skip(" "),
            let offset = cursor.number(radix: 16), cursor.skip(" "),
            let major = cursor.number(radix: 16), cursor.skip(":"),
            let minor = cursor.number(radix: 16), cursor.skip(" "), major <= UInt32.max,
            minor <= UInt32.max, let inode = cursor.number()
        else { return nil }
        cursor.skipSpaces()
        self.range = range
        isReadable = read == UInt8(ascii: "r")
        isWritable = write == UInt8(ascii: "w")
        isExecutable = execute == UInt8(ascii: "x")
        isShared = share == UInt8(ascii: "s")
        self.offset = FileOffset(rawValue: offset)
        device = major << 32 | minor
        self.inode = inode
        let name = decodingOctalNewlines(cursor.restOfLine())
        let remark = " (deleted)"
        isDeleted = inode != 0 && name.hasSuffix(remark)
        path = isDeleted ? String(name.dropLast(remark.count)) : name
    }
}

/// The kernel writes a newline in a path as `\012` (seq_file's mangle_path).
private func decodingOctalNewlines(_ bytes: ArraySlice<UInt8>) -> String {
    let text = String(decoding: bytes, as: UTF8.self)
    guard bytes.contains(UInt8(ascii: "\\")) else { return text }
    return text.split(separator: "\\012", omittingEmptySubsequences: false)
        .joined(separator: "\n")
}
