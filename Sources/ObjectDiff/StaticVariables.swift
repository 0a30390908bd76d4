import CDebugInfo
import SystemPackage

/// The variables that functions of an object keep, by its debug information.
struct StaticVariables {
    struct Name: Hashable {
        let function: String
        let variable: String
    }

    /// Of sections that hold one of them and nothing else.
    private let names: [Int: Name]

    /// Reads those of the object file at `path`; none where it has no debug information.
    init(of path: FilePath) {
        let collector = Collector()
        unsafe path.collectDebugInformation(in: collector) { session, context in
            unsafe cdebuginfo_static_variables(session, context) {
                context, section, offset, function, name in
                guard let context = unsafe context else { return }
                unsafe Unmanaged<Collector>.fromOpaque(context).takeUnretainedValue()
                    .places[Int(section), default: []].insert(
                        Place(
                            offset: offset,
                            name: Name(
                                function: String(cString: function),
                                variable: String(cString: name))))
            }
        }
        names = collector.places.compactMapValues { found in
            found.count == 1 ? found.first.flatMap { $0.offset == 0 ? $0.name : nil } : nil
        }
    }

    private struct Place: Hashable {
        let offset: UInt64
        let name: Name
    }

    private final class Collector {
        var places: [Int: Set<Place>] = [:]
    }

    /// What the variable in a section is called, and by which function; nil where that is
    /// not told, or where several have it.
    subscript(section: Int) -> Name? { names[section] }
}

extension Correlation {
    /// Pairs the variables of a name that the debug information of both objects tells
    /// apart. Returns those that are left.
    mutating func pairByFunctions(
        _ old: [Int], _ before: CompiledObject, _ new: [Int], _ after: CompiledObject
    ) -> (old: [Int], new: [Int]) {
        let names = StaticVariables(of: before.path)
        let others = StaticVariables(of: after.path)
        let were = Dictionary(grouping: old.filter { names[$0] != nil }) { names[$0] }
        let are = Dictionary(grouping: new.filter { others[$0] != nil }) { others[$0] }
        for (name, sections) in are {
            guard sections.count == 1, let section = sections.first,
                let found = were[name], found.count == 1, let only = found.first,
                before.atoms[only]?.kind == after.atoms[section]?.kind
            else { continue }
            pair(only, section)
        }
        let left = old.filter { self.after[$0] == nil }
        // One whose function is gone may be that of another function now.
        let isClear = left.allSatisfy { section in
            names[section].map { after.function(named: $0.function) != nil } ?? false
        }
        let rest = new.filter { section in
            guard self.before[section] == nil else { return false }
            // It is new where no function had one of its name before.
            return !isClear || others[section].map { were[$0] != nil } ?? true
        }
        return (left, rest)
    }
}
