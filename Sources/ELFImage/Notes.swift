import Addresses
import CELF

/// The number by which a linked object is known (`NT_GNU_BUILD_ID`), however its
/// file is called.
public struct BuildID: Hashable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// nil where there are no bytes.
    public init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return nil }
        self.bytes = bytes
    }

    /// nil where `hex` is not an even number of hexadecimal digits.
    public init?(hex: String) {
        let digits = hex.compactMap(\.hexDigitValue)
        guard digits.count == hex.count, digits.count % 2 == 0 else { return nil }
        self.init(
            stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
        )
    }

    /// Hexadecimal digits, as `file` and `readelf -n` print them.
    public var description: String { bytes.map(hexByte).joined() }
}

/// What an object promises about Intel CET (psABI, "Program Property"): the
/// kernel enforces a feature only where every object of a program has it.
public struct CETFeatures: Hashable, Sendable {
    /// Indirect branch tracking: every target of an indirect branch is `endbr64`.
    public let indirectBranchTracking: Bool
    public let shadowStack: Bool

    static let none = CETFeatures(indirectBranchTracking: false, shadowStack: false)
}

/// The notes that matter to a patcher.
public struct Notes: Sendable {
    public private(set) var buildID: BuildID?
    public private(set) var cet = CETFeatures.none

    init(reading source: borrowing ELFSource, _ layout: Layout) throws(ELFError) {
        var places: [(part: String, offset: FileOffset, size: UInt64, alignment: UInt64)] =
            layout.sections.filter { $0.type == .note }
            .map { ("section \($0.name)", $0.offset, $0.size, $0.alignment) }
        if places.isEmpty {
            places = layout.segments.filter { $0.type == .note || $0.type == .property }
                .map { ("a note segment", $0.offset, $0.fileSize, $0.alignment) }
        }
        for place in places {
            let bytes = try source.read(place.part, at: place.offset, count: place.size)
            read(bytes, alignment: place.alignment == 8 ? 8 : 4)
        }
    }

    /// Takes what is known from one section. A note that passes the section's
    /// end closes the list: the kernel and glibc read notes the same way.
    private mutating func read(_ bytes: ByteView, alignment: Int) {
        var position = 0
        while let nameSize = bytes.load(position, as: UInt32.self),
            let size = bytes.load(position + 4, as: UInt32.self),
            let type = bytes.load(position + 8, as: UInt32.self)
        {
            let name = position + 12
            let content = (name + Int(nameSize)).roundedUp(to: alignment)
            guard let owner = bytes.slice(name, Int(nameSize)),
                let description = bytes.slice(content, Int(size))
            else { return }
            if owner.array() == Array("GNU\0".utf8) { take(type, description) }
            position = (content + Int(size)).roundedUp(to: alignment)
        }
    }

    private mutating func take(_ type: UInt32, _ description: ByteView) {
        switch type {
        case UInt32(NT_GNU_BUILD_ID):
            buildID = buildID ?? BuildID(description.array())
        case UInt32(NT_GNU_PROPERTY_TYPE_0):
            takeProperties(description)
        default:
            break
        }
    }

    /// The array of (type, size, data padded to 8) of a property note.
    private mutating func takeProperties(_ bytes: ByteView) {
        var position = 0
        while let type = bytes.load(position, as: UInt32.self),
            let size = bytes.load(position + 4, as: UInt32.self)
        {
            // GNU_PROPERTY_X86_FEATURE_1_AND, with IBT in bit 0 and SHSTK in bit 1.
            if type == 0xc000_0002, size == 4,
                let bits = bytes.load(position + 8, as: UInt32.self)
            {
                cet = CETFeatures(
                    indirectBranchTracking: bits & 1 != 0, shadowStack: bits & 2 != 0)
            }
            position = (position + 8 + Int(size)).roundedUp(to: 8)
        }
    }
}

extension ELFImage {
    public var buildID: BuildID? { notes.buildID }
    public var cetFeatures: CETFeatures { notes.cet }
}

extension Int {
    /// The next multiple of `alignment`, for values far below the largest Int.
    func roundedUp(to alignment: Int) -> Int {
        (self + alignment - 1) / alignment * alignment
    }
}
