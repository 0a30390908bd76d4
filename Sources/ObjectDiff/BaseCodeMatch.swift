import Addresses
import ELFImage
import Patchability

/// The code of an object's function against the bytes of the base, modulo what the
/// linker fills in and relaxes (psABI x86-64, "Optimize GOTPCRELX Relocations", and
/// ELF Handling For Thread-Local Storage, 5.5). Jumps may be shorter in the base,
/// where it was compiled without -ffunction-sections.
struct BaseCodeMatch {
    /// What a relocation of the object was filled in with.
    struct Reference {
        let relocation: Relocation
        /// From the field to the address that the processor counts from.
        let lead: Int64
        let value: Value
        /// Where the instruction starts in the object.
        let place: Int
    }

    enum Value: Hashable {
        /// The address of what it refers to.
        case address(LinkAddress)
        /// The address of the word that holds it.
        case word(LinkAddress)
        /// A distance from the thread pointer.
        case threadOffset(Int64)
        /// It cannot be told.
        case unknown
    }

    /// The first instruction that the linker cannot have made so.
    struct Difference: Error {
        let offset: Int
        let baseOffset: Int
    }

    private(set) var references: [Reference] = []
    private(set) var map = OffsetMap()
    private var places: [(object: Int64, base: Int64, at: Difference)] = []
    private let atom: Atom
    private let code: ByteView
    private let start: LinkAddress

    /// - Parameter code: the bytes of the function in the base, from `start` on.
    init(_ atom: Atom, _ code: ByteView, at start: LinkAddress) throws(Difference) {
        self.atom = atom
        self.code = code
        self.start = start
        var reader = CodePairReader(atom.bytes, code)
        while let (a, b) = reader.next() {
            map.add(a.offset, b.offset)
            if try match(a, b) {
                // The linker filled the rest of a relaxed instruction with a nop.
                reader.skipPaddingOfSecond()
            }
        }
        guard reader.reachesEnds() else {
            throw Difference(offset: reader.first.offset, baseOffset: reader.second.offset)
        }
        for place in places {
            let isInside = (0..<Int64(atom.bytes.count)).contains(place.object)
            guard isInside, Int64(map[Int(place.object)]) == place.base else { throw place.at }
        }
    }

    /// Whether the base has a relaxed form with a nop behind it.
    private mutating func match(_ a: CodeLine, _ b: CodeLine) throws(Difference) -> Bool {
        let difference = Difference(offset: a.offset, baseOffset: b.offset)
        let relocations = atom.relocations(in: a.offset..<a.end)
        if let old = Branch(a, in: atom.bytes), let new = Branch(b, in: code) {
            guard old.kind == new.kind, relocations.count <= 1 else { throw difference }
            let distance = new.distance(b, in: code)
            if let relocation = relocations.first {
                let lead = Int64(a.end) - Int64(bitPattern: relocation.offset.rawValue)
                add(relocation, lead, .address(address(b, distance)), a)
            } else {
                let target = Int64(a.end) + old.distance(a, in: atom.bytes)
                places.append((target, Int64(b.end) + distance, difference))
            }
            return false
        }
        if let relocation = relocations.first, relocations.count == 1,
            let isPadded = relaxed(a, b, relocation)
        {
            return isPadded
        }
        guard a.length == b.length else { throw difference }
        var fields: [Range<Int>] = []
        for relocation in relocations { fields.append(try fill(relocation, a, b)) }
        if relocations.isEmpty, let field = a.shape?.ripDisplacementOffset,
            field == b.shape?.ripDisplacementOffset
        {
            fields.append(field..<field + 4)
            places.append(
                (
                    Int64(a.end) + displacement(a, field, in: atom.bytes),
                    Int64(b.end) + displacement(b, field, in: code), difference
                ))
        }
        let isSame = (0..<a.length).allSatisfy { index in
            fields.contains { $0.contains(index) }
                || atom.bytes[a.offset + index] == code[b.offset + index]
        }
        guard isSame else { throw difference }
        return false
    }

    private func displacement(_ line: CodeLine, _ field: Int, in bytes: ByteView) -> Int64 {
        Int64(bytes.load(line.offset + field, as: Int32.self) ?? 0)
    }

    /// The address `distance` bytes behind an instruction of the base.
    private func address(_ line: CodeLine, _ distance: Int64) -> LinkAddress {
        LinkAddress(
            rawValue: start.rawValue &+ UInt64(line.end) &+ UInt64(bitPattern: distance))
    }

    private mutating func add(
        _ relocation: Relocation, _ lead: Int64, _ value: Value, _ line: CodeLine
    ) {
        references.append(
            Reference(relocation: relocation, lead: lead, value: value, place: line.offset))
    }

    /// Reads what stands in a relocation's field, and returns the field.
    private mutating func fill(
        _ relocation: Relocation, _ a: CodeLine, _ b: CodeLine
    ) throws(Difference) -> Range<Int> {
        let field = Int(clamping: relocation.offset.rawValue) - a.offset
        guard let kind = RelocationKind(rawValue: relocation.type.rawValue),
            field + kind.width <= a.length
        else { throw Difference(offset: a.offset, baseOffset: b.offset) }
        let place = b.offset + field
        let narrow = Int64(code.load(place, as: Int32.self) ?? 0)
        let lead = kind.isPCRelative ? Int64(a.length - field) : 0
        let value: Value
        switch kind {
        case .pc32, .plt32:
            value = .address(address(b, narrow))
        case .absolute32:
            value = .address(LinkAddress(rawValue: UInt64(UInt32(truncatingIfNeeded: narrow))))
        case .absolute32Signed:
            value = .address(LinkAddress(rawValue: UInt64(bitPattern: narrow)))
        case .absolute64:
            value =
                code.load(place, as: UInt64.self)
                .map { .address(LinkAddress(rawValue: $0)) } ?? .unknown
        case .threadOffset32:
            value = .threadOffset(narrow)
        case .gotPCRelative, .gotPCRelativeRelaxable, .rexGOTPCRelativeRelaxable:
            value = .word(address(b, narrow))
        default:
            value = .unknown
        }
        add(relocation, lead, value, a)
        return field..<field + kind.width
    }

    /// Takes instructions that load from the offset table and were turned into ones
    /// that need no table; nil where it is none. Tells whether a nop follows.
    private mutating func relaxed(
        _ a: CodeLine, _ b: CodeLine, _ relocation: Relocation
    ) -> Bool? {
        guard let kind = RelocationKind(rawValue: relocation.type.rawValue), kind.usesTable,
            let shape = a.shape, let other = b.shape,
            let opcode = atom.bytes[a.offset + shape.opcodeOffset],
            let found = code[b.offset + other.opcodeOffset]
        else { return nil }
        let lead = Int64(a.end) - Int64(bitPattern: relocation.offset.rawValue)
        let modrm = atom.bytes[a.offset + shape.opcodeOffset + 1]
        switch (opcode, modrm, found) {
        // call *x@GOTPCREL(%rip) to addr32 call x; jmp *… to jmp x; nop.
        case (0xff, 0x15?, 0xe8), (0xff, 0x25?, 0xe9):
            guard let branch = Branch(b, in: code) else { return nil }
            add(relocation, lead, .address(address(b, branch.distance(b, in: code))), a)
            return found == 0xe9
        // mov x@GOTPCREL(%rip), %r to lea x(%rip), %r.
        case (0x8b, modrm?, 0x8d)
        where a.length == b.length && code[b.offset + other.opcodeOffset + 1] == modrm:
            guard let field = other.ripDisplacementOffset else { return nil }
            add(relocation, lead, .address(address(b, displacement(b, field, in: code))), a)
            return false
        // mov x@GOTTPOFF(%rip), %r to mov $x@TPOFF, %r.
        case (0x8b, _, 0xc7) where kind == .tlsInitialExec && a.length == b.length:
            add(relocation, lead, .threadOffset(displacement(b, b.length - 4, in: code)), a)
            return false
        default: return nil
        }
    }
}
