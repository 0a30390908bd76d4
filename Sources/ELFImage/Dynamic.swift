import Addresses
import CELF

/// The dynamic section (gABI, "Dynamic Section"): what the loader is told.
public struct DynamicSection: Sendable {
    /// Tag and value, in order, up to DT_NULL.
    public let entries: [(tag: Int64, value: UInt64)]
    /// DT_NEEDED, in order: the libraries that it is linked with.
    public let needed: [String]
    /// DT_SONAME.
    public let soname: String?

    /// The first value under `tag`.
    public func value(_ tag: Int32) -> UInt64? {
        entries.first { $0.tag == Int64(tag) }?.value
    }

    /// Whether the object is dynamically linked (or a static PIE).
    public var isPresent: Bool { !entries.isEmpty }

    /// Whether an ET_DYN object is a program: linkers say so in DF_1_PIE, and
    /// those that do not, give only programs the debugger's hook, DT_DEBUG.
    var isProgram: Bool {
        (value(DT_FLAGS_1) ?? 0) & UInt64(DF_1_PIE) != 0 || value(DT_DEBUG) != nil
    }

    /// Whether the loader writes into the text to relocate it.
    public var hasTextRelocations: Bool {
        value(DT_TEXTREL) != nil || (value(DT_FLAGS) ?? 0) & UInt64(DF_TEXTREL) != 0
    }

    init(reading source: borrowing ELFSource, _ layout: Layout) throws(ELFError) {
        guard let segment = layout.segments.first(where: { $0.type == .dynamic }) else {
            entries = []
            needed = []
            soname = nil
            return
        }
        let bytes = try source.read(
            "the dynamic section", at: segment.offset, count: segment.fileSize)
        var entries: [(tag: Int64, value: UInt64)] = []
        var position = 0
        while let tag = bytes.load(position, as: Int64.self), tag != DT_NULL,
            let value = bytes.load(position + 8, as: UInt64.self)
        {
            entries.append((tag, value))
            position += 16
        }
        self.entries = entries
        let strings = try Self.strings(entries, source, layout)
        var names: [String] = []
        var soname: String?
        for (tag, value) in entries where tag == DT_NEEDED || tag == DT_SONAME {
            guard let offset = Int(exactly: value), let text = strings.cString(at: offset) else {
                throw .malformed(
                    name: source.name, part: "the dynamic section",
                    rule: "a name lies outside the string table", value: value)
            }
            if tag == DT_NEEDED { names.append(text) } else { soname = text }
        }
        needed = names
        self.soname = soname
    }

    /// The table under DT_STRTAB, read only where a name refers to it.
    private static func strings(
        _ entries: [(tag: Int64, value: UInt64)], _ source: borrowing ELFSource, _ layout: Layout
    ) throws(ELFError) -> ByteView {
        guard entries.contains(where: { $0.tag == DT_NEEDED || $0.tag == DT_SONAME }) else {
            return .empty
        }
        let table = entries.first { $0.tag == DT_STRTAB }?.value ?? 0
        let size = entries.first { $0.tag == DT_STRSZ }?.value ?? 0
        guard let range = AddressRange(start: LinkAddress(rawValue: table), count: size),
            let offset = layout.segments.fileOffset(of: range)
        else {
            throw .malformed(
                name: source.name, part: "the dynamic section",
                rule: "DT_STRTAB lies in no loadable segment", value: table)
        }
        return try source.read("the dynamic string table", at: offset, count: size)
    }
}

extension ELFImage {
    /// What the loader is told.
    public var dynamicSection: DynamicSection { dynamic }
    public var needed: [String] { dynamic.needed }
    public var soname: String? { dynamic.soname }

    /// The path of the loader (PT_INTERP); nil for what is not a dynamic program.
    public func interpreter() throws(ELFError) -> String? {
        guard !isSeparateDebugFile,
            let segment = segments.first(where: { $0.type == .interpreter })
        else { return nil }
        let bytes = try source.read(
            "the interpreter's path", at: segment.offset, count: segment.fileSize)
        return bytes.cString(at: 0)
    }
}
