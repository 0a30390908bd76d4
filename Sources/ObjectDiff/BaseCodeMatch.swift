import Addresses
import ELFImage
import Patchability

/// The code of an object's function against the bytes of the base, modulo what the
/// linker fills in and relaxes (``Relaxation``). Jumps may be shorter in the base, where
/// it was compiled without -ffunction-sections.
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
        /// A distance from the start of the module's thread-local block.
        case blockOffset(Int64)
        /// The address of the word that holds the distance from the thread pointer.
        case threadWord(LinkAddress)
        /// The address of two words that tell of the module and of the distance from
        /// the start of its block.
        case blockWords(LinkAddress)
        /// It cannot be told.
        case unknown

        /// The words of the offset table that may name what another object defines.
        var words: [LinkAddress] {
            switch self {
            case .word(let word), .threadWord(let word): [word]
            case .blockWords(let first): [first, first.wrapping(by: 8)]
            default: []
            }
        }
    }

    /// The first instruction that the linker cannot have made so.
    struct Difference: Error {
        let offset: Int
        let baseOffset: Int
    }

    private(set) var references: [Reference] = []
    private(set) var map = OffsetMap()
    private var places: [(object: Int64, base: Int64, at: Difference)] = []
    /// Distances of thread-local variables, of which the way to the block tells where
    /// they count from: it may be the thread pointer in the base.
    private var distances: [(reference: Int, distance: Int64)] = []
    private var waysToBlock: Set<WayToBlock> = []
    private let atom: Atom
    private let code: ByteView
    private let start: LinkAddress

    private enum WayToBlock { case asked, threadPointer }

    /// - Parameter code: the bytes of the function in the base, from `start` on.
    init(_ atom: Atom, _ code: ByteView, at start: LinkAddress) throws(Difference) {
        self.atom = atom
        self.code = code
        self.start = start
        var reader = CodePairReader(atom.bytes, code)
        while let (a, b) = reader.next(orWhere: { Self.relaxation($0, $1, atom, code) != nil }) {
            map.add(a.offset, b.offset)
            if let form = Self.relaxation(a, b, atom, code) {
                take(form, a, b)
                reader.skip(
                    toFirst: a.offset + form.length, second: b.offset + form.bytes.count)
            } else {
                try match(a, b)
            }
        }
        guard reader.reachesEnds() else {
            throw Difference(offset: reader.first.offset, baseOffset: reader.second.offset)
        }
        for place in places {
            let isInside = (0..<Int64(atom.bytes.count)).contains(place.object)
            guard isInside, Int64(map[Int(place.object)]) == place.base else { throw place.at }
        }
        tellDistances()
    }

    private mutating func match(_ a: CodeLine, _ b: CodeLine) throws(Difference) {
        let difference = Difference(offset: a.offset, baseOffset: b.offset)
        let relocations = atom.relocations(in: a.offset..<a.end)
        if let old = Branch(a, in: atom.bytes), let new = Branch(b, in: code) {
            guard old.kind == new.kind, relocations.count <= 1, hasSamePrefixes(a, b) else {
                throw difference
            }
            let distance = new.distance(b, in: code)
            if let relocation = relocations.first {
                let lead = Int64(a.end) - Int64(bitPattern: relocation.offset.rawValue)
                add(relocation, lead, .address(address(b, distance)), a)
            } else {
                let target = Int64(a.end) + old.distance(a, in: atom.bytes)
                places.append((target, Int64(b.end) + distance, difference))
            }
            return
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
    }

    private func hasSamePrefixes(_ a: CodeLine, _ b: CodeLine) -> Bool {
        let count = a.shape?.opcodeOffset ?? 0
        return count == b.shape?.opcodeOffset ?? 0
            && (0..<count).allSatisfy { atom.bytes[a.offset + $0] == code[b.offset + $0] }
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
        add(relocation, lead, value(of: kind, at: place, b), a)
        switch kind {
        case .moduleOffset32: distances.append((references.count - 1, narrow))
        case .tlsLocalDynamic, .tlsDescriptor: waysToBlock.insert(.asked)
        default: break
        }
        return field..<field + kind.width
    }

    /// What the field at `place` of the base's instruction says.
    private func value(of kind: RelocationKind, at place: Int, _ line: CodeLine) -> Value {
        let narrow = Int64(code.load(place, as: Int32.self) ?? 0)
        switch kind {
        case .pc32, .plt32:
            return .address(address(line, narrow))
        case .absolute32:
            return .address(LinkAddress(rawValue: UInt64(UInt32(truncatingIfNeeded: narrow))))
        case .absolute32Signed:
            return .address(LinkAddress(rawValue: UInt64(bitPattern: narrow)))
        case .absolute64:
            return code.load(place, as: UInt64.self)
                .map { .address(LinkAddress(rawValue: $0)) } ?? .unknown
        case .threadOffset32:
            return .threadOffset(narrow)
        case .gotPCRelative, .gotPCRelativeRelaxable, .rexGOTPCRelativeRelaxable:
            return .word(address(line, narrow))
        case .tlsInitialExec:
            return .threadWord(address(line, narrow))
        case .tlsGeneralDynamic, .tlsDescriptor:
            return .blockWords(address(line, narrow))
        default:
            return .unknown
        }
    }

    // MARK: - Relaxed code

    private static func relaxation(
        _ a: CodeLine, _ b: CodeLine, _ atom: Atom, _ code: ByteView
    ) -> Relaxation? {
        Relaxation.forms(of: a, in: atom).first { $0.stands(in: code, at: b.offset) }
    }

    /// Notes what a relaxed instruction of the base refers to.
    private mutating func take(_ form: Relaxation, _ a: CodeLine, _ b: CodeLine) {
        let kind = RelocationKind(rawValue: form.relocation.type.rawValue)
        if kind == .tlsLocalDynamic || kind == .tlsDescriptor {
            waysToBlock.insert(.threadPointer)
        }
        guard let field = form.field else { return }
        let number = Int64(code.load(b.offset + field, as: Int32.self) ?? 0)
        let end = start.rawValue &+ UInt64(b.offset + field + 4)
        let place = LinkAddress(rawValue: end &+ UInt64(bitPattern: number))
        let value: Value
        switch form.meaning {
        case .relative: value = .address(place)
        case .absolute: value = .address(LinkAddress(rawValue: UInt64(bitPattern: number)))
        case .threadOffset: value = .threadOffset(number)
        case .threadWord: value = .threadWord(place)
        case .block: return
        }
        // The field of the object is the end of its instruction too.
        add(form.relocation, 4, value, a)
    }

    /// A function that asks for its block in one way only counts from there.
    private mutating func tellDistances() {
        guard let way = waysToBlock.first, waysToBlock.count == 1 else { return }
        for (index, distance) in distances {
            let reference = references[index]
            references[index] = Reference(
                relocation: reference.relocation, lead: reference.lead,
                value: way == .asked ? .blockOffset(distance) : .threadOffset(distance),
                place: reference.place)
        }
    }
}
