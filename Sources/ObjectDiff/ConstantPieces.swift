import Addresses
import ELFImage
import Patchability

/// The places in sections without labels that an object refers to. Compilers put
/// strings, numbers and tables there one after the other where they do not let the
/// linker merge them (GCC at -O0), and only references tell where each begins.
struct ReferredPlaces {
    /// Of each section, in order.
    private let places: [Int: [Int]]

    init(_ object: CompiledObject) {
        let wanted = Set(object.atoms.filter { $0.value.isUnlabelled }.keys)
        var places: [Int: Set<Int>] = [:]
        if !wanted.isEmpty {
            for atom in object.atoms.values {
                atom.visitReferences { relocation, lead in
                    guard
                        case .atom(let section, let offset) = object.target(
                            of: relocation, lead: lead), wanted.contains(section),
                        let place = Int(exactly: offset)
                    else { return }
                    places[section, default: []].insert(place)
                }
            }
        }
        self.places = places.mapValues { $0.sorted() }
    }

    /// The first place at or behind `offset` of a section of `count` bytes.
    func next(in section: Int, from offset: Int, count: Int) -> Int {
        guard let places = places[section] else { return count }
        let index = places.partitioningIndex { $0 < offset }
        return index < places.count ? min(places[index], count) : count
    }

    /// The last place at or before `offset`.
    func last(in section: Int, at offset: Int) -> Int {
        guard let places = places[section] else { return 0 }
        let index = places.partitioningIndex { $0 <= offset }
        return index > 0 ? places[index - 1] : 0
    }
}

extension Atom {
    /// Whether it holds constants that have no names and that nobody merges.
    var isUnlabelled: Bool { kind == .constant && labels.isEmpty }

    /// Calls `body` with each relocation, and with the distance from its field to
    /// where the processor counts from.
    func visitReferences(_ body: (Relocation, Int64) -> Void) {
        guard kind == .code else { return relocations.forEach { body($0, 0) } }
        var reader = CodeReader(bytes)
        while let line = reader.line {
            for relocation in relocations(in: line.offset..<line.end) {
                let kind = RelocationKind(rawValue: relocation.type.rawValue)
                let lead = Int64(line.end) - Int64(bitPattern: relocation.offset.rawValue)
                body(relocation, kind?.isPCRelative == true ? lead : 0)
            }
            reader.skip(line)
        }
    }

    /// Whether a constant may end before `offset`: behind the end of a string, or behind
    /// an entry of a table. Of a number it is not known, so what follows counts to it.
    func mayEnd(before offset: Int) -> Bool {
        guard offset > 0 else { return false }
        return bytes[offset - 1] == 0
    }

    /// Whether nothing but zeroes stands in `range`.
    func isPadding(_ range: Range<Int>) -> Bool {
        relocations(in: range).isEmpty && range.allSatisfy { bytes[$0] == 0 }
    }
}

/// Whether what stands at a place of a section without labels is what stands at
/// another, up to where both end.
struct PieceWalk {
    /// A section, and where something of it begins.
    struct Side {
        let atom: Atom
        let places: ReferredPlaces
        let start: Int

        var count: Int { atom.bytes.count }

        /// How far the next place that is referred to is from `distance` behind the start.
        func gap(at distance: Int) -> Int {
            let offset = start + distance
            return places.next(in: atom.section.index, from: offset, count: count) - offset
        }

        /// What is filled in at `distance`.
        func relocation(at distance: Int) -> Entry? {
            let offset = start + distance
            return atom.relocations(in: offset..<offset + 1).first.map {
                ($0, Int64(places.last(in: atom.section.index, at: offset) - offset))
            }
        }
    }

    /// A relocation, and the distance from it to the start of its table.
    typealias Entry = (Relocation, lead: Int64)

    let before: Side
    let after: Side
    /// Whether two entries of tables lead to the same.
    let isSameEntry: (Entry, Entry) -> Bool

    func areSame() -> Bool {
        guard before.start >= 0, after.start >= 0, before.start <= before.count,
            after.start <= after.count
        else { return false }
        var distance = 0
        while true {
            let ends = (
                before.start + distance == before.count, after.start + distance == after.count
            )
            if distance > 0, canEnd(at: distance) || ends == (true, true) { return true }
            guard ends == (false, false), let width = step(at: distance) else { return false }
            distance += width
        }
    }

    /// How many bytes are the same at `distance`; nil where they differ.
    private func step(at distance: Int) -> Int? {
        switch (before.relocation(at: distance), after.relocation(at: distance)) {
        case (nil, nil):
            return before.atom.bytes[before.start + distance]
                == after.atom.bytes[after.start + distance] ? 1 : nil
        case (let one?, let other?):
            guard one.0.type == other.0.type, isSameEntry(one, other),
                let kind = RelocationKind(rawValue: one.0.type.rawValue)
            else { return nil }
            return max(kind.width, 1)
        default:
            return nil
        }
    }

    /// Whether both may end here, and what is referred to next follows at once, or
    /// behind no more zeroes than its alignment takes.
    private func canEnd(at distance: Int) -> Bool {
        guard before.atom.mayEnd(before: before.start + distance),
            after.atom.mayEnd(before: after.start + distance)
        else { return false }
        let gaps = [before, after].map { ($0, $0.gap(at: distance)) }
        return gaps.allSatisfy { $0.1 == 0 }
            || gaps.allSatisfy { side, gap in
                let start = side.start + distance
                let alignment = min(max(side.atom.section.alignment, 1), 64)
                let isAligned =
                    start + gap == side.count
                    || UInt64(start + gap) % UInt64(gap + 1).ceilingPower == 0
                return gap < alignment && isAligned
                    && side.atom.isPadding(start..<start + gap)
            }
    }
}

extension UInt64 {
    /// The least power of two that is not less; of small numbers.
    fileprivate var ceilingPower: UInt64 {
        var power: UInt64 = 1
        while power < self { power <<= 1 }
        return power
    }
}
