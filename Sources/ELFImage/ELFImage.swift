import Addresses
import Synchronization
import SystemPackage

/// One ELF object for x86-64 Linux, read from a file or from memory.
///
/// The headers are read when it is opened, sections when they are asked for.
/// Nothing is mapped, and nothing from the file is believed unchecked.
public final class ELFImage: Sendable {
    /// What an object is made for.
    public enum Kind: String, Sendable {
        case relocatable
        /// Linked at a fixed address (ET_EXEC).
        case executable
        /// A program that is loaded anywhere (ET_DYN).
        case positionIndependentExecutable = "pie"
        case sharedObject = "shared"
    }

    let source: ELFSource
    let dynamic: DynamicSection
    private let loaded = Mutex<[Int: ByteView]>([:])

    /// The path or name that it was opened under, for messages.
    public var name: String { source.name }
    /// Bytes in the file.
    public var fileSize: UInt64 { source.size }
    public let kind: Kind
    /// `e_entry`; zero where there is none.
    public let entry: LinkAddress
    /// In the order of the section header table, the empty section 0 included.
    public let sections: [Section]
    public let segments: [Segment]
    /// Whether it is a separate debug file: the section headers of an object
    /// whose code and data are elsewhere.
    public let isSeparateDebugFile: Bool
    /// The contents of the notes that matter here.
    public let notes: Notes

    /// Opens the file at `path`.
    public static func open(path: FilePath) throws(ELFError) -> ELFImage {
        try ELFImage(ELFSource(path: path))
    }

    /// Opens what `descriptor` refers to; it is borrowed for the call only.
    public static func open(descriptor: Int32, name: String) throws(ELFError) -> ELFImage {
        try ELFImage(ELFSource(duplicating: descriptor, name: name))
    }

    /// Reads an object that lies in memory, laid out as in its file.
    public static func parse(bytes: [UInt8], name: String) throws(ELFError) -> ELFImage {
        try ELFImage(ELFSource(bytes: ByteView(bytes), name: name))
    }

    private init(_ source: consuming ELFSource) throws(ELFError) {
        let headers = try source.headers()
        entry = headers.entry
        sections = headers.sections
        segments = headers.segments
        isSeparateDebugFile = sections.contains { $0.isExecutable && $0.type == .noBits }
        let layout = Layout(
            sections: sections, segments: isSeparateDebugFile ? [] : segments)
        dynamic = try DynamicSection(reading: source, layout)
        notes = try Notes(reading: source, layout)
        switch Int32(headers.type) {
        case 1: kind = .relocatable
        case 2: kind = .executable
        default: kind = dynamic.isProgram ? .positionIndependentExecutable : .sharedObject
        }
        self.source = source
    }

    /// The first section called `name`.
    public func section(named name: String) -> Section? {
        sections.first { $0.name == name }
    }

    /// The bytes of `section`; none for a section without bytes in the file.
    ///
    /// They are read once, and kept as long as the image.
    public func bytes(of section: Section) throws(ELFError) -> ByteView {
        guard section.type != .noBits else { return .empty }
        if let present = loaded.withLock({ $0[section.index] }) { return present }
        let bytes = try source.read(
            "section \(section.name)", at: section.offset, count: section.size)
        loaded.withLock { $0[section.index] = bytes }
        return bytes
    }

    /// The bytes that the file holds for link addresses, which have to lie in
    /// one segment.
    public func bytes(at range: AddressRange<LinkAddress>) throws(ELFError) -> ByteView {
        guard !isSeparateDebugFile, let offset = segments.fileOffset(of: range) else {
            throw .notInFile(name: name, range: range)
        }
        let holder = sections.first {
            $0.type != .noBits && $0.range?.contains(range) == true
                && $0.offset.advanced(by: range.start.rawValue - $0.address.rawValue) == offset
        }
        if let holder, let present = loaded.withLock({ $0[holder.index] }),
            let slice = present.slice(
                Int(clamping: range.start.rawValue - holder.address.rawValue),
                Int(clamping: range.count))
        {
            return slice
        }
        return try source.read("the bytes at \(range)", at: offset, count: range.count)
    }

    /// The section that is loaded at `address`. A thread-local section without
    /// bytes (.tbss) occupies none.
    public func section(at address: LinkAddress) -> Section? {
        sections.first {
            $0.range?.contains(address) == true
                && !($0.type == .noBits && $0.flags.contains(.threadLocal))
        }
    }

    /// The template of the thread-local variables (PT_TLS).
    public var tlsSegment: Segment? { segments.first { $0.type == .threadLocal } }
}

/// The headers that other readers need.
struct Layout {
    let sections: [Section]
    /// Empty where the segments' bytes are in another file.
    let segments: [Segment]
}

extension [Segment] {
    /// Where the file holds the bytes of `range`: through the first loadable
    /// segment that has all of them.
    func fileOffset(of range: AddressRange<LinkAddress>) -> FileOffset? {
        for segment in self where segment.type == .load {
            guard let backed = segment.fileBackedRange, backed.contains(range) else { continue }
            return segment.offset.advanced(by: range.start.rawValue - segment.address.rawValue)
        }
        return nil
    }
}
