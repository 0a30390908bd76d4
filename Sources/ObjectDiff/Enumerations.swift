import CDebugInfo
import SystemPackage

/// The enumerations of an object, by its debug information: data that a program has
/// holds their numbers.
struct Enumerations {
    struct Enumeration {
        /// nil where it has none.
        let name: String?
        /// What it is declared in; nil outside of functions.
        let function: String?
        let file: String?
        let line: Int
        var numbers: [(name: String, value: Int64)] = []
    }

    private struct Key: Hashable {
        let name: String?
        let function: String?
    }

    private let all: [Enumeration]

    /// Reads those of the object file at `path`; none where it has no debug
    /// information.
    init(of path: FilePath) {
        let collector = Collector()
        unsafe path.collectDebugInformation(in: collector) { session, context in
            unsafe cdebuginfo_enumerators(session, context) { context, enumerator in
                guard let context = unsafe context else { return }
                unsafe Unmanaged<Collector>.fromOpaque(context).takeUnretainedValue()
                    .add(enumerator.pointee)
            }
        }
        all = collector.all
    }

    private final class Collector {
        var all: [Enumeration] = []

        @unsafe
        func add(_ raw: cdebuginfo_enumerator) {
            if unsafe raw.number == 0 {
                all.append(
                    unsafe Enumeration(
                        name: raw.type.map { unsafe String(cString: $0) },
                        function: raw.function.map { unsafe String(cString: $0) },
                        file: raw.file.map { unsafe String(cString: $0) }, line: Int(raw.line)))
            }
            guard !all.isEmpty else { return }
            all[all.count - 1].numbers.append(
                unsafe (String(cString: raw.name), raw.value))
        }
    }

    /// The first enumerator that has another number after.
    func firstChange(to after: Enumerations, besides accepted: Set<String>) -> LayoutChange? {
        let groups = Dictionary(grouping: after.all) { Key(name: $0.name, function: $0.function) }
        for old in all {
            let rivals = groups[Key(name: old.name, function: old.function)] ?? []
            // Without a name it is the one that is most like it.
            let names = Set(old.numbers.map(\.name))
            let likeness = rivals.map { $0.numbers.count { names.contains($0.name) } }
            guard let most = likeness.max(), most > 0, let index = likeness.firstIndex(of: most),
                let (name, from, to) = old.firstChange(to: rivals[index])
            else { continue }
            let type = old.name ?? name
            guard !accepted.contains(type) else { continue }
            return LayoutChange(
                type: type, file: rivals[index].file.flatMap { FilePath($0).lastComponent?.string },
                line: rivals[index].line, what: .renumbered(enumerator: name, from: from, to: to))
        }
        return nil
    }
}

extension Enumerations.Enumeration {
    fileprivate func firstChange(
        to new: Self
    ) -> (name: String, from: Int64, to: Int64)? {
        let numbers = Dictionary(
            new.numbers.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        for (name, value) in self.numbers {
            if let now = numbers[name], now != value { return (name, value, now) }
        }
        return nil
    }
}
