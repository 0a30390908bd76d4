import Addresses
import ELFImage

/// Functions and variables that another object defines after the change: what they are
/// called says that they are the same.
enum MovedDefinitions {
    /// Where each was before.
    static func find(_ comparisons: [ObjectComparison]) -> [AtomPlace: AtomPlace] {
        var gone: [String: AtomPlace] = [:]
        for (index, comparison) in comparisons.enumerated() {
            for (section, atom) in comparison.before.atoms
            where comparison.correlation.after[section] == nil {
                for name in atom.strongNames {
                    gone[name] = AtomPlace(object: index, section: section)
                }
            }
        }
        var moved: [AtomPlace: AtomPlace] = [:]
        for (index, comparison) in comparisons.enumerated() where !gone.isEmpty {
            for (section, atom) in comparison.after.atoms
            where comparison.correlation.before[section] == nil {
                for name in atom.strongNames {
                    guard let was = gone[name], was.object != index,
                        comparisons[was.object].before.atoms[was.section]?.kind.isCode
                            == atom.kind.isCode
                    else { continue }
                    moved[AtomPlace(object: index, section: section)] = was
                }
            }
        }
        return moved
    }

    /// The names of variables that no object has any more where it was.
    static func goneVariables(_ comparisons: [ObjectComparison]) -> Set<String> {
        comparisons.reduce(into: []) { names, comparison in
            for (section, atom) in comparison.before.atoms
            where atom.isVariable && comparison.correlation.after[section] == nil {
                names.insert(StableName.of(atom.name))
            }
        }
    }

    /// Whether data that has moved starts as it did.
    static func check(
        _ section: Int, in after: CompiledObject, was old: Int, in before: CompiledObject
    ) throws(ChangeError) {
        guard let now = after.atoms[section], let was = before.atoms[old], now.kind != .code,
            let offset = difference(now, after, was, before)
        else { return }
        throw .changedData(
            object: after.name, name: now.name,
            place: DataPlace(
                offset: offset, sizeBefore: was.section.size, sizeAfter: now.section.size,
                isConstant: now.kind == .constant))
    }

    private static func difference(
        _ now: Atom, _ after: CompiledObject, _ was: Atom, _ before: CompiledObject
    ) -> Int? {
        guard now.section.size == was.section.size, now.bytes.count == was.bytes.count else {
            return 0
        }
        let (these, those) = (now.bytes.array(), was.bytes.array())
        if let place = these.indices.first(where: { these[$0] != those[$0] }) { return place }
        guard now.relocations.count == was.relocations.count else { return 0 }
        for (one, other) in zip(now.relocations, was.relocations)
        where one.offset != other.offset || one.type != other.type
            || meaning(of: one, in: after) != meaning(of: other, in: before)
        {
            return Int(clamping: one.offset.rawValue)
        }
        return nil
    }

    private enum Meaning: Hashable {
        case literal([UInt8], distance: Int64)
        case name(String, offset: Int64)
        case value(UInt64)
    }

    private static func meaning(of relocation: Relocation, in object: CompiledObject) -> Meaning? {
        switch object.target(of: relocation) {
        case .absolute(let value): return .value(value)
        case .name(let name, let offset, _): return .name(name, offset: offset)
        case .atom(let section, let offset):
            return object.atoms[section].map { .name($0.name, offset: offset) }
        case .literal(let section, let anchor, let distance):
            return object.atoms[section]?.literal(at: anchor).map {
                .literal($0.array(), distance: distance)
            }
        }
    }
}

extension Atom {
    /// The names by which other objects mean it and nothing else.
    var strongNames: [String] {
        labels.filter { $0.binding == .global && $0.value.rawValue == 0 }.map(\.name)
    }
}

extension Atom.Kind {
    fileprivate var isCode: Bool { self == .code }
}
