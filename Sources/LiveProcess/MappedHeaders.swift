import Addresses
import ELFImage

/// The ELF headers of an object as they stand in the memory of a process.
/// Everything in them may be forged: the program can write there.
struct MappedHeaders {
    struct Segment {
        let type: UInt32
        let flags: UInt32
        let offset: UInt64
        let address: LinkAddress
        let memorySize: UInt64

        var isLoaded: Bool { type == 1 }  // PT_LOAD
        var isDynamic: Bool { type == 2 }  // PT_DYNAMIC
        var isNote: Bool { type == 4 }  // PT_NOTE
        var isExecutable: Bool { flags & 1 != 0 }  // PF_X
    }

    let segments: [Segment]
    let bias: LoadBias
    /// From the first to behind the last loaded byte, in whole pages.
    let extent: AddressRange<RemoteAddress>

    /// Reads the headers at the start of `page`, which is mapped at `start` from
    /// the file's first byte on. nil where it is no 64-bit x86 object, or one
    /// whose headers do not fit the page or do not fit together (gABI,
    /// "ELF Header" and "Program Header").
    init?(page: [UInt8], mappedAt start: RemoteAddress) {
        let view = ByteView(page)
        guard page.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2, 1]),
            view.load(18, as: UInt16.self) == 62,
            let tableOffset = view.load(32, as: UInt64.self), tableOffset <= UInt64(page.count),
            view.load(54, as: UInt16.self) == 56,
            let count = view.load(56, as: UInt16.self)
        else { return nil }
        var segments: [Segment] = []
        for index in 0..<Int(count) {
            guard let segment = Segment(view, at: Int(tableOffset) + index * 56) else {
                return nil
            }
            segments.append(segment)
        }
        guard let first = segments.first(where: { $0.isLoaded && $0.offset < 4096 }) else {
            return nil
        }
        let bias = LoadBias(
            of: LinkAddress(rawValue: first.address.rawValue &- first.offset), at: start)
        guard let extent = Self.extent(segments, bias) else { return nil }
        self.segments = segments
        self.bias = bias
        self.extent = extent
    }

    private static func extent(
        _ segments: [Segment], _ bias: LoadBias
    ) -> AddressRange<RemoteAddress>? {
        var low = UInt64.max
        var high: UInt64 = 0
        for segment in segments where segment.isLoaded {
            guard let end = segment.address.advanced(by: segment.memorySize),
                let rounded = end.advanced(by: 4095)
            else { return nil }
            low = min(low, segment.address.rawValue & ~4095)
            high = max(high, rounded.rawValue & ~4095)
        }
        // User space ends below 2^56 even with five-level page tables.
        guard low < high, high - low < 1 << 56 else { return nil }
        return AddressRange(start: bias.remote(LinkAddress(rawValue: low)), count: high - low)
    }

    /// Where the notes are, at most 64 KiB each.
    var noteRanges: [AddressRange<RemoteAddress>] {
        segments.filter { $0.isNote && $0.memorySize <= 65536 }.compactMap {
            AddressRange(start: bias.remote($0.address), count: $0.memorySize)
        }
    }

    /// The dynamic section, where there is one.
    var dynamicRange: AddressRange<RemoteAddress>? {
        segments.first(where: \.isDynamic).flatMap {
            AddressRange(start: bias.remote($0.address), count: min($0.memorySize, 65536))
        }
    }
}

extension MappedHeaders.Segment {
    fileprivate init?(_ view: ByteView, at offset: Int) {
        guard let type = view.load(offset, as: UInt32.self),
            let flags = view.load(offset + 4, as: UInt32.self),
            let fileOffset = view.load(offset + 8, as: UInt64.self),
            let address = view.load(offset + 16, as: UInt64.self),
            let memorySize = view.load(offset + 40, as: UInt64.self)
        else { return nil }
        self.type = type
        self.flags = flags
        self.offset = fileOffset
        self.address = LinkAddress(rawValue: address)
        self.memorySize = memorySize
    }
}

extension BuildID {
    /// The build id among the notes of one segment: entries of name size,
    /// descriptor size and type, four bytes each, then both padded to four
    /// (gABI, "Note Section"). NT_GNU_BUILD_ID is type 3 of the owner "GNU".
    init?(inNotes bytes: [UInt8]) {
        let view = ByteView(bytes)
        var position = 0
        while let nameSize = view.load(position, as: UInt32.self),
            let size = view.load(position + 4, as: UInt32.self),
            let type = view.load(position + 8, as: UInt32.self)
        {
            let name = position + 12
            guard nameSize <= bytes.count, size <= bytes.count else { return nil }
            let start = name + (Int(nameSize) + 3) & ~3
            guard let content = view.slice(start, Int(size)) else { return nil }
            if type == 3, nameSize == 4, view.cString(at: name) == "GNU" {
                self.init(content.array())
                return
            }
            position = start + (Int(size) + 3) & ~3
        }
        return nil
    }
}
