import Addresses
import CDecoder
import ELFImage

/// A stretch of bytes of an object, as it is loaded.
final class CodeRegion: Sendable {
    let name: String
    let start: UInt64
    let bytes: ByteView
    /// Of a section, the size of its entries.
    let entrySize: UInt64
    let isWritable: Bool
    let mayHoldPointers: Bool

    init(
        name: String, start: UInt64, bytes: ByteView, entrySize: UInt64, isWritable: Bool = false,
        mayHoldPointers: Bool = false
    ) {
        self.name = name
        self.start = start
        self.bytes = bytes
        self.entrySize = entrySize
        self.isWritable = isWritable
        self.mayHoldPointers = mayHoldPointers
    }

    var end: UInt64 { start + UInt64(bytes.count) }

    /// The instruction at `address`, at a quick look; nil outside, and where none is
    /// known to start there.
    func shape(at address: UInt64) -> cdecoder_shape? {
        offset(of: address).flatMap { bytes.shape(at: $0) }
    }

    /// Calls `body` with each instruction from the one at `start` on that starts
    /// before `end`, and its address. Returns the address behind the last: less than
    /// `end` where no instruction is known to start there.
    @discardableResult
    func walk(
        from start: UInt64, to end: UInt64, _ body: (UInt64, cdecoder_shape) -> Void
    ) -> UInt64 {
        unsafe bytes.withUnsafeBytes { bytes in
            var address = start
            while address < end, let offset = offset(of: address),
                let (place, rest) = unsafe bytes.tail(from: offset)
            {
                let shape = unsafe cdecoder_look(place, rest)
                guard shape.length > 0 else { break }
                body(address, shape)
                address += UInt64(shape.length)
            }
            return address
        }
    }

    /// The offset of `address`, or nil outside.
    func offset(of address: UInt64) -> Int? {
        address >= start && address < end ? Int(address - start) : nil
    }
}

/// All executable bytes of an object, in the order of their addresses.
struct CodeMap: Sendable {
    let regions: [CodeRegion]
    /// The first address, and the one behind the last.
    let low: UInt64
    let high: UInt64

    /// The small and medium code models reach no further (psABI, "Code models").
    private static let widestSpan: UInt64 = 1 << 32
    /// Programs have the lower half of the canonical addresses (SDM vol. 1, 3.3.7.1),
    /// with 57 bits at most; so sums of addresses and sizes here do not overflow.
    private static let lastAddress: UInt64 = 1 << 56

    init(_ image: ELFImage) throws(ELFError) {
        var regions: [CodeRegion] = []
        for section in image.sections where section.isExecutable && section.type != .noBits {
            try regions.append(
                Self.region(
                    section.name, section.address, try image.bytes(of: section),
                    section.entrySize, image))
        }
        if image.sections.isEmpty {
            for segment in image.segments
            where segment.type == .load && segment.flags.contains(.executable) {
                guard let range = segment.fileBackedRange else { continue }
                try regions.append(
                    Self.region(
                        "an executable segment", range.start, try image.bytes(at: range), 0, image))
            }
        }
        regions.removeAll { $0.bytes.isEmpty }
        regions.sort { $0.start < $1.start }
        low = regions.first?.start ?? 0
        high = regions.map(\.end).max() ?? 0
        for (left, right) in zip(regions, regions.dropFirst()) where right.start < left.end {
            throw .malformed(
                name: image.name, part: "section \(right.name)",
                rule: "it overlaps section \(left.name)", value: right.start)
        }
        guard high - low <= Self.widestSpan else {
            throw .malformed(
                name: image.name, part: "the executable sections",
                rule: "they lie further apart than code can reach", value: high - low)
        }
        try regions.requireShareOfFile(image)
        self.regions = regions
    }

    private static func region(
        _ name: String, _ address: LinkAddress, _ bytes: ByteView, _ entrySize: UInt64,
        _ image: ELFImage
    ) throws(ELFError) -> CodeRegion {
        guard let end = address.advanced(by: UInt64(bytes.count)), end.rawValue <= lastAddress
        else {
            throw .malformed(
                name: image.name, part: "section \(name)",
                rule: "it passes the end of a program's addresses", value: address.rawValue)
        }
        return CodeRegion(
            name: name, start: address.rawValue, bytes: bytes, entrySize: entrySize)
    }

    /// The index of the region that holds `address`.
    func regionIndex(of address: UInt64) -> Int? {
        var low = 0
        var high = regions.count
        while low < high {
            let middle = (low + high) / 2
            if regions[middle].end <= address { low = middle + 1 } else { high = middle }
        }
        return low < regions.count && regions[low].start <= address ? low : nil
    }

    func region(of address: UInt64) -> CodeRegion? {
        regionIndex(of: address).map { regions[$0] }
    }
}

extension [CodeRegion] {
    /// Sections do not share bytes. Where they would have more than the file, a
    /// hostile header wants our memory.
    func requireShareOfFile(_ image: ELFImage) throws(ELFError) {
        let total = reduce(0 as UInt64) { $0 &+ UInt64($1.bytes.count) }
        guard total <= image.fileSize else {
            throw .malformed(
                name: image.name, part: "the section headers",
                rule: "sections have more bytes than the file", value: total)
        }
    }
}

extension ByteView {
    /// The instruction at `offset`, at a quick look; nil outside, and where none is
    /// known to start there.
    func shape(at offset: Int) -> cdecoder_shape? {
        unsafe withUnsafeBytes { bytes in
            guard let (place, rest) = unsafe bytes.tail(from: offset) else { return nil }
            let shape = unsafe cdecoder_look(place, rest)
            return shape.length > 0 ? shape : nil
        }
    }
}
