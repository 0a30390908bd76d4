import Addresses
import ELFImage
import SystemPackage

extension BaseIdentity {
    /// How many bytes a build id may have here. Linkers make 8 to 32; one that
    /// is longer is not believed, and the content decides.
    static let longestBuildID = 64

    /// What `image` is recognised by: its build id, or where it has none, what
    /// the loader maps from it. The file may be a copy with other sections (a
    /// stripped one): both stay the same.
    public init(of image: ELFImage) throws(ELFError) {
        if let id = image.buildID, id.bytes.count <= Self.longestBuildID {
            self = .buildID(id.bytes)
        } else {
            self = .contentDigest(try Self.digest(of: image))
        }
    }

    /// Over each PT_LOAD with bytes in the file, in order: its address and its
    /// size as eight bytes each, least significant first, then the bytes. The
    /// ELF header is left out: it says where the section headers are, which
    /// `strip` changes.
    private static func digest(of image: ELFImage) throws(ELFError) -> [UInt8] {
        guard var digest = Digest() else {
            throw ELFError.system(name: image.name, action: "digest", errno: .noMemory)
        }
        for segment in image.segments where segment.type == .load {
            guard let range = segment.rangeBehindHeader, !range.isEmpty else { continue }
            digest.update(littleEndian: range.start.rawValue)
            digest.update(littleEndian: range.count)
            for piece in range.pieces(of: 1 << 20) {
                let bytes = try image.bytes(at: piece)
                unsafe bytes.withUnsafeBytes { unsafe digest.update($0) }
            }
        }
        return digest.finish()
    }
}

extension Segment {
    /// The addresses with bytes in the file, without those of the ELF header.
    fileprivate var rangeBehindHeader: AddressRange<LinkAddress>? {
        guard let range = fileBackedRange, offset.rawValue < 64 else { return fileBackedRange }
        let skipped = min(64 - offset.rawValue, range.count)
        return range.start.advanced(by: skipped).flatMap {
            AddressRange(start: $0, end: range.end)
        }
    }
}

extension Digest {
    fileprivate mutating func update(littleEndian value: UInt64) {
        unsafe withUnsafeBytes(of: value.littleEndian) { unsafe update($0) }
    }
}

extension AddressRange {
    /// The range in parts of at most `size` bytes, so that a large object need
    /// not be in memory as a whole.
    fileprivate func pieces(of size: UInt64) -> [AddressRange] {
        stride(from: 0, to: count, by: UInt64.Stride(size)).compactMap { offset in
            start.advanced(by: offset).flatMap {
                AddressRange(start: $0, count: Swift.min(size, count - offset))
            }
        }
    }
}
