import Addresses
import CELF

/// An object's headers, read in one go when it is opened.
struct ELFHeaders: Sendable {
    /// `e_type`: ET_REL, ET_EXEC or ET_DYN; all else is refused.
    let type: UInt16
    let entry: LinkAddress
    let sections: [Section]
    let segments: [Segment]
}

/// A bound on what a hostile header may make us allocate. The largest real
/// objects (one section per function) have some 100,000.
private let mostSections = 4_000_000

extension ELFSource {
    func headers() throws(ELFError) -> ELFHeaders {
        try unsafe withLibELF { (file) throws(ELFError) -> ELFHeaders in
            var header = celf_header()
            try check(unsafe celf_read_header(file, &header))
            try requireOurMachine(header)
            try require(
                "the section header table", at: header.section_table,
                max(header.section_count, Int(header.claimed_sections)),
                of: MemoryLayout<Elf64_Shdr>.size)
            try require(
                "the program header table", at: header.segment_table,
                header.claimed_segments == PN_XNUM
                    ? header.segment_count : Int(header.claimed_segments),
                of: MemoryLayout<Elf64_Phdr>.size)
            return ELFHeaders(
                type: header.type,
                entry: LinkAddress(rawValue: header.entry),
                sections: try unsafe sections(
                    of: file, count: header.section_count, names: header.section_names),
                segments: try unsafe segments(of: file, count: header.segment_count))
        }
    }

    private func check(_ status: celf_status) throws(ELFError) {
        guard status == CELF_OK else {
            throw .headers(name: name, message: unsafe String(cString: celf_message()))
        }
    }

    private func requireOurMachine(_ header: celf_header) throws(ELFError) {
        let rules: [(String, UInt64, Bool, String)] = [
            ("class", UInt64(header.file_class), header.file_class == ELFCLASS64, "2 (64-bit)"),
            ("byte order", UInt64(header.data), header.data == ELFDATA2LSB, "1 (little endian)"),
            ("machine", UInt64(header.machine), header.machine == EM_X86_64, "62 (x86-64)"),
            (
                "type", UInt64(header.type),
                [ET_REL, ET_EXEC, ET_DYN].contains(Int32(header.type)),
                "1, 2 or 3 (relocatable, executable, shared)"
            ),
        ]
        for (field, found, holds, wanted) in rules where !holds {
            throw .foreign(name: name, field: field, found: found, wanted: wanted)
        }
    }

    /// A table that the ELF header speaks of has to be in the file. One entry at
    /// least: where the count is zero, there is either no table or a file that was
    /// cut off before it.
    private func require(
        _ part: String, at offset: UInt64, _ count: Int, of entrySize: Int
    ) throws(ELFError) {
        guard offset != 0 else { return }
        let wanted = UInt64(max(count, 1)).multipliedReportingOverflow(by: UInt64(entrySize))
        guard !wanted.overflow, offset <= size, wanted.partialValue <= size - offset else {
            throw .truncated(
                name: name, part: part, offset: FileOffset(rawValue: offset),
                size: wanted.partialValue, fileSize: size)
        }
    }

    private func sections(
        of file: OpaquePointer, count: Int, names: Int
    ) throws(ELFError) -> [Section] {
        guard count >= 0, count <= mostSections, UInt64(count) <= size else {
            throw .malformed(
                name: name, part: "the ELF header", rule: "more sections than can be",
                value: UInt64(truncatingIfNeeded: count))
        }
        var raw: [Elf64_Shdr] = []
        raw.reserveCapacity(count)
        for index in 0..<max(count, 0) {
            var section = Elf64_Shdr()
            try check(unsafe celf_read_section(file, index, &section))
            raw.append(section)
        }
        let strings = try sectionNames(raw, names)
        return raw.enumerated().map { index, header in
            Section(
                index: index, name: strings.cString(at: Int(header.sh_name)) ?? "",
                type: SectionType(rawValue: header.sh_type),
                flags: SectionFlags(rawValue: header.sh_flags),
                address: LinkAddress(rawValue: header.sh_addr),
                offset: FileOffset(rawValue: header.sh_offset),
                size: header.sh_size, link: header.sh_link, info: header.sh_info,
                alignment: header.sh_addralign, entrySize: header.sh_entsize)
        }
    }

    private func sectionNames(_ raw: [Elf64_Shdr], _ index: Int) throws(ELFError) -> ByteView {
        // SHN_UNDEF: the sections have no names.
        guard index != 0 else { return .empty }
        guard raw.indices.contains(index) else {
            throw .malformed(
                name: name, part: "the ELF header", rule: "e_shstrndx is not a section",
                value: UInt64(index))
        }
        return try read(
            "the section names", at: FileOffset(rawValue: raw[index].sh_offset),
            count: raw[index].sh_type == UInt32(SHT_NOBITS) ? 0 : raw[index].sh_size)
    }

    private func segments(of file: OpaquePointer, count: Int) throws(ELFError) -> [Segment] {
        guard count >= 0, UInt64(count) <= size else {
            throw .malformed(
                name: name, part: "the ELF header", rule: "more segments than can be",
                value: UInt64(truncatingIfNeeded: count))
        }
        var segments: [Segment] = []
        for index in 0..<count {
            var header = Elf64_Phdr()
            try check(unsafe celf_read_segment(file, index, &header))
            segments.append(
                Segment(
                    type: SegmentType(rawValue: header.p_type),
                    flags: SegmentFlags(rawValue: header.p_flags),
                    offset: FileOffset(rawValue: header.p_offset),
                    address: LinkAddress(rawValue: header.p_vaddr),
                    fileSize: header.p_filesz, memorySize: header.p_memsz,
                    alignment: header.p_align))
        }
        return segments
    }
}
