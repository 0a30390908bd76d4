import CELF

/// The versions of the dynamic symbols (LSB, "Symbol Versioning").
struct SymbolVersions: Sendable {
    /// .gnu.version: a 16-bit index for each dynamic symbol.
    private let indexes: ByteView
    private let names: [UInt16: (name: String, library: String?)]

    /// nil where the object has no versions.
    init?(reading image: ELFImage) throws(ELFError) {
        guard let section = image.sections.first(where: { $0.type == .versionIndexes }) else {
            return nil
        }
        indexes = try image.bytes(of: section)
        var names: [UInt16: (name: String, library: String?)] = [:]
        for section in image.sections {
            switch section.type {
            case .versionDefinitions: try Self.definitions(in: image, section, &names)
            case .versionNeeds: try Self.needs(in: image, section, &names)
            default: break
            }
        }
        self.names = names
    }

    /// The version of the symbol number `index`. The highest bit of the index
    /// says 'hidden': not the default version.
    subscript(index: Int) -> SymbolVersion? {
        guard index >= 0, index < indexes.count / 2,
            let raw = indexes.load(index * 2, as: UInt16.self),
            let entry = names[raw & 0x7fff]
        else { return nil }
        return SymbolVersion(
            name: entry.name, isDefault: entry.library == nil && raw & 0x8000 == 0,
            library: entry.library)
    }

    /// Walks a list whose entries give the distance to the next, at most as
    /// often as entries fit.
    private static func walk(
        _ bytes: ByteView, from start: Int, nextAt field: Int, _ visit: (Int) -> Void
    ) {
        var position = start
        for _ in 0...bytes.count / 16 {
            guard position < bytes.count,
                let next = bytes.load(position + field, as: UInt32.self)
            else { return }
            visit(position)
            if next == 0 { return }
            position += Int(next)
        }
    }

    /// `Elf64_Verdef` with its first `Elf64_Verdaux`.
    private static func definitions(
        in image: ELFImage, _ section: Section,
        _ names: inout [UInt16: (name: String, library: String?)]
    ) throws(ELFError) {
        let (bytes, strings) = try tables(image, section)
        walk(bytes, from: 0, nextAt: 16) { position in
            guard let flags = bytes.load(position + 2, as: UInt16.self),
                let index = bytes.load(position + 4, as: UInt16.self),
                let auxiliary = bytes.load(position + 12, as: UInt32.self),
                let name = bytes.load(position + Int(auxiliary), as: UInt32.self),
                let text = strings.cString(at: Int(name)),
                // VER_FLG_BASE: the name of the library, which no symbol has.
                flags & UInt16(VER_FLG_BASE) == 0
            else { return }
            names[index & 0x7fff] = (text, nil)
        }
    }

    /// `Elf64_Verneed` with each `Elf64_Vernaux`.
    private static func needs(
        in image: ELFImage, _ section: Section,
        _ names: inout [UInt16: (name: String, library: String?)]
    ) throws(ELFError) {
        let (bytes, strings) = try tables(image, section)
        walk(bytes, from: 0, nextAt: 12) { position in
            guard let file = bytes.load(position + 4, as: UInt32.self),
                let auxiliary = bytes.load(position + 8, as: UInt32.self),
                let library = strings.cString(at: Int(file))
            else { return }
            walk(bytes, from: position + Int(auxiliary), nextAt: 12) { entry in
                guard let index = bytes.load(entry + 6, as: UInt16.self),
                    let name = bytes.load(entry + 8, as: UInt32.self),
                    let text = strings.cString(at: Int(name))
                else { return }
                names[index & 0x7fff] = (text, library)
            }
        }
    }

    private static func tables(
        _ image: ELFImage, _ section: Section
    ) throws(ELFError) -> (ByteView, ByteView) {
        guard let strings = image.linkedSection(of: section) else {
            throw .malformed(
                name: image.name, part: "section \(section.name)",
                rule: "sh_link is not a section", value: UInt64(section.link))
        }
        return (try image.bytes(of: section), try image.bytes(of: strings))
    }
}
