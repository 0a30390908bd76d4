import Addresses
import ELFImage
import Patchability

/// An object before and after the change, compared by what things are and refer
/// to, not by where they stand.
final class ObjectComparison {
    /// What became of a function or datum.
    enum Verdict: Equatable {
        case same
        /// It differs by numbers that follow the lines of the source (`__LINE__`)
        /// and nothing else.
        case movedLines
        /// At these offsets.
        case differs(before: Int, after: Int)
    }

    let before: CompiledObject
    let after: CompiledObject
    let correlation: Correlation
    private let decoder: InstructionDecoder
    private lazy var lines = LineComparison(
        before: SourceLines(of: before.path), after: SourceLines(of: after.path))
    /// Of functions, by the section after.
    private var verdicts: [Int: Verdict] = [:]
    private var comparisons: [Int: Result<CodeComparison, CodeComparison.Difference>] = [:]
    private var contents: [ContentPair: Bool] = [:]
    /// Those that are the same as long as those are that were asked for before them.
    private var supposed: [ContentPair] = []
    private lazy var places = (before: ReferredPlaces(before), after: ReferredPlaces(after))
    /// Bytes that may still be looked at: more than any compiler's object needs.
    private var budget = 1 << 32

    private enum ContentPair: Hashable {
        case whole(before: Int, after: Int)
        /// From places of sections without labels on.
        case pieces(before: Int, offset: Int64, after: Int, other: Int64)
    }

    /// Deeper chains of constants that refer to constants count as different.
    private static let deepest = 64

    init(_ before: CompiledObject, _ after: CompiledObject, decoder: InstructionDecoder) {
        self.before = before
        self.after = after
        self.decoder = decoder
        correlation = Correlation(before, after)
    }

    /// Whether any function or datum is another one after, or new.
    var hasChanges: Bool {
        after.atoms.contains { section, atom in
            switch atom.kind {
            case .code:
                if case .differs = verdict(ofCode: section) { true } else { false }
            case .variable, .threadLocal:
                if case .differs = verdict(ofData: section) { true } else { false }
            default: false
            }
        }
    }

    // MARK: - Functions

    /// What became of the function in a section after that is one before.
    func verdict(ofCode section: Int) -> Verdict {
        if let known = verdicts[section] { return known }
        let verdict = compare(section)
        verdicts[section] = verdict
        return verdict
    }

    /// The two codes of a function without what they refer to; nil where there is
    /// none before.
    private func comparison(
        of section: Int
    ) -> Result<CodeComparison, CodeComparison.Difference>? {
        if let known = comparisons[section] { return known }
        guard let old = correlation.before[section].flatMap({ before.atoms[$0] }),
            let new = after.atoms[section], spend(old.bytes.count)
        else { return nil }
        let result = Result { () throws(CodeComparison.Difference) in
            try CodeComparison(old, new, decoder: decoder)
        }
        comparisons[section] = result
        return result
    }

    private func compare(_ section: Int) -> Verdict {
        let comparison: CodeComparison
        switch self.comparison(of: section) {
        case .success(let found): comparison = found
        case .failure(let error): return .differs(before: error.before, after: error.after)
        case nil: return .differs(before: 0, after: 0)
        }
        // That which asks for the block of all thread-local variables names any of them.
        let block = RelocationKind.tlsLocalDynamic.rawValue
        for pair in comparison.references where pair.before.type.rawValue != block {
            let was = before.target(of: pair.before, lead: pair.beforeLead)
            let now = after.target(of: pair.after, lead: pair.afterLead)
            guard isSame(was, now, depth: 0) else {
                return .differs(before: pair.place.before, after: pair.place.after)
            }
        }
        for numbers in comparison.numbers {
            guard areLines(numbers, section) else {
                return .differs(before: numbers.place.before, after: numbers.place.after)
            }
        }
        return comparison.numbers.isEmpty ? .same : .movedLines
    }

    private func areLines(_ numbers: CodeComparison.Numbers, _ section: Int) -> Bool {
        guard let old = correlation.before[section] else { return false }
        return lines.areLines(numbers, before: old, after: section)
    }

    // MARK: - References

    private func isSame(_ was: Target, _ now: Target, depth: Int) -> Bool {
        switch (was, now) {
        case (.name(let old, let oldOffset, _), .name(let new, let newOffset, _)):
            return old == new && oldOffset == newOffset
        case (.absolute(let old), .absolute(let new)):
            return old == new
        case (.literal(let old, let anchor, let far), .literal(let new, let other, let away)):
            guard let was = before.atoms[old], let now = after.atoms[new] else { return false }
            return far == away && was.kind == now.kind && isSameLiteral(was, anchor, now, other)
        case (.atom(let old, let oldOffset), .atom(let new, let newOffset)):
            return isSame(old, oldOffset, new, newOffset, depth: depth)
        default:
            return false
        }
    }

    private func isSame(
        _ old: Int, _ oldOffset: Int64, _ new: Int, _ newOffset: Int64, depth: Int
    ) -> Bool {
        guard let was = before.atoms[old], let now = after.atoms[new], depth < Self.deepest else {
            return false
        }
        if was.isToldByContent || now.isToldByContent {
            guard was.isToldByContent, now.isToldByContent else { return false }
            if oldOffset == newOffset, hasSameContent(old, new, depth: depth) { return true }
            return was.isUnlabelled && now.isUnlabelled
                && isSamePiece(old, oldOffset, new, newOffset, depth: depth)
        }
        guard correlation.before[new] == old else { return false }
        if now.kind == .code {
            if oldOffset == 0 || newOffset == 0 { return oldOffset == newOffset }
            return isSamePlace(oldOffset, newOffset, of: new)
        }
        guard oldOffset == newOffset else { return false }
        // Whoever uses a constant that changed is changed with it.
        return now.kind != .constant || now.isGlobal || hasSameContent(old, new, depth: depth)
    }

    /// Whether a place in a function before is that one after. An entry of a jump
    /// table may count from elsewhere, which matters only where places have moved.
    private func isSamePlace(_ old: Int64, _ new: Int64, of section: Int) -> Bool {
        guard case .success(let comparison)? = comparison(of: section) else { return false }
        if comparison.map.isIdentity { return old == new }
        guard let offset = Int(exactly: old), offset >= 0 else { return false }
        return Int64(comparison.map[offset]) == new
    }

    private func isSameLiteral(
        _ was: Atom, _ oldOffset: Int64, _ now: Atom, _ newOffset: Int64
    ) -> Bool {
        guard let one = was.literal(at: oldOffset), let other = now.literal(at: newOffset),
            was.relocations.isEmpty, now.relocations.isEmpty, spend(one.count)
        else { return false }
        return one.array() == other.array()
    }

    // MARK: - Data

    /// What became of the datum in a section after that is one before.
    func verdict(ofData section: Int) -> Verdict {
        guard let old = correlation.before[section], let was = before.atoms[old],
            let now = after.atoms[section], was.kind == now.kind
        else { return .differs(before: 0, after: 0) }
        if hasSameContent(old, section, depth: 0) { return .same }
        let place = firstDifference(was, now)
        return .differs(before: place, after: place)
    }

    private func firstDifference(_ was: Atom, _ now: Atom) -> Int {
        let count = min(was.bytes.count, now.bytes.count)
        return (0..<count).first { was.bytes[$0] != now.bytes[$0] } ?? count
    }

    private func hasSameContent(_ old: Int, _ new: Int, depth: Int) -> Bool {
        remember(.whole(before: old, after: new)) {
            compareContent(old, new, depth: depth)
        }
    }

    /// Compares two contents once. What refers to itself is the same as long as nothing
    /// else differs; where something does, what was found by that is forgotten.
    private func remember(_ pair: ContentPair, _ compare: () -> Bool) -> Bool {
        if let known = contents[pair] { return known }
        contents[pair] = true
        let mark = supposed.count
        supposed.append(pair)
        let result = compare()
        if !result {
            for other in supposed[mark...] { contents[other] = nil }
            supposed.removeSubrange(mark...)
            contents[pair] = false
        }
        return result
    }

    private func compareContent(_ old: Int, _ new: Int, depth: Int) -> Bool {
        guard let was = before.atoms[old], let now = after.atoms[new],
            was.section.size == now.section.size, was.bytes.count == now.bytes.count,
            was.relocations.count == now.relocations.count, spend(was.bytes.count)
        else { return false }
        var position = 0
        for (one, other) in zip(was.relocations, now.relocations) {
            guard one.offset == other.offset, one.type == other.type,
                let kind = RelocationKind(rawValue: one.type.rawValue)
            else { return false }
            let field = Int(clamping: one.offset.rawValue)
            guard isSameBytes(was, now, position..<max(position, field)),
                isSameEntry(one, other, kind, depth: depth + 1)
            else { return false }
            position = max(position, field + kind.width)
        }
        return isSameBytes(was, now, position..<max(position, was.bytes.count))
    }

    /// The entries of a jump table count from its start, which is mostly that of its
    /// section.
    private func isSameEntry(
        _ one: Relocation, _ other: Relocation, _ kind: RelocationKind, depth: Int
    ) -> Bool {
        if isSame(before.target(of: one), after.target(of: other), depth: depth) { return true }
        guard kind.isPCRelative else { return false }
        let lead = 0 &- Int64(bitPattern: one.offset.rawValue)
        return isSame(
            before.target(of: one, lead: lead), after.target(of: other, lead: lead), depth: depth)
    }

    /// Whether what stands at a place of a section without labels is the same; the
    /// section may hold more.
    private func isSamePiece(
        _ old: Int, _ oldOffset: Int64, _ new: Int, _ newOffset: Int64, depth: Int
    ) -> Bool {
        guard let was = before.atoms[old], let now = after.atoms[new],
            let start = Int(exactly: oldOffset), let other = Int(exactly: newOffset),
            spend(was.bytes.count)
        else { return false }
        let walk = PieceWalk(
            before: PieceWalk.Side(atom: was, places: places.before, start: start),
            after: PieceWalk.Side(atom: now, places: places.after, start: other)
        ) { [self] one, other in
            // The entries of a jump table count from its start.
            isSame(
                before.target(of: one.0, lead: one.0.isPCRelative ? one.lead : 0),
                after.target(of: other.0, lead: other.0.isPCRelative ? other.lead : 0),
                depth: depth + 1)
        }
        return remember(.pieces(before: old, offset: oldOffset, after: new, other: newOffset)) {
            walk.areSame()
        }
    }

    private func isSameBytes(_ was: Atom, _ now: Atom, _ range: Range<Int>) -> Bool {
        guard let one = was.bytes.slice(range.lowerBound, range.count),
            let other = now.bytes.slice(range.lowerBound, range.count)
        else { return false }
        return one.array() == other.array()
    }

    private func spend(_ bytes: Int) -> Bool {
        budget -= bytes + 1
        return budget > 0
    }
}

extension Relocation {
    fileprivate var isPCRelative: Bool {
        RelocationKind(rawValue: type.rawValue)?.isPCRelative ?? false
    }
}

extension Atom {
    /// The literal at an offset: a string with its end, or a number.
    func literal(at offset: Int64) -> ByteView? {
        guard case .literals(let size, let areStrings) = kind, let start = Int(exactly: offset),
            start >= 0, start < bytes.count
        else { return nil }
        guard areStrings else { return bytes.slice(start, size) }
        guard size > 1 else {
            return bytes.cStringLength(at: start).flatMap { bytes.slice(start, $0 + 1) }
        }
        var end = start
        while let character = bytes.slice(end, size) {
            end += size
            if character.array().allSatisfy({ $0 == 0 }) { return bytes.slice(start, end - start) }
        }
        return nil
    }
}
