import CDebugInfo
import SystemPackage

/// The structures, classes and unions of an object, by its debug information.
struct TypeLayouts {
    struct Member: Hashable {
        let name: String?
        /// Bits from the start, and bits.
        let offset: UInt64
        let size: UInt64
    }

    struct Layout {
        let isUnion: Bool
        /// Bytes.
        let size: UInt64
        let file: String?
        let line: Int
        var members: [Member] = []
    }

    private(set) var layouts: [String: Layout] = [:]

    /// Reads those of the object file at `path`; none where it has no debug
    /// information. Of several types of one name the first counts.
    init(of path: FilePath) {
        let collector = Collector()
        unsafe path.collectDebugInformation(in: collector) { session, context in
            unsafe cdebuginfo_members(session, context) {
                context, member in
                guard let context = unsafe context else { return }
                unsafe Unmanaged<Collector>.fromOpaque(context).takeUnretainedValue()
                    .add(member.pointee)
            }
        }
        layouts = collector.layouts
    }

    private final class Collector {
        var layouts: [String: Layout] = [:]
        /// Whether the type that is read now is one that counts.
        private var isWanted = false

        @unsafe
        func add(_ raw: cdebuginfo_member) {
            let type = unsafe String(cString: raw.type)
            if unsafe raw.number <= 0 {
                isWanted = layouts[type] == nil
                if isWanted {
                    unsafe layouts[type] = Layout(
                        isUnion: raw.is_union, size: raw.type_size,
                        file: raw.file.map { unsafe String(cString: $0) }, line: Int(raw.line))
                }
            }
            guard unsafe isWanted && raw.number >= 0 else { return }
            unsafe layouts[type]?.members.append(
                Member(
                    name: raw.name.map { unsafe String(cString: $0) }, offset: raw.offset,
                    size: raw.size))
        }
    }

    /// The first type, in the order of names, that data of before does not fit any
    /// more.
    func firstChange(to after: TypeLayouts, besides accepted: Set<String>) -> LayoutChange? {
        for (name, old) in layouts.sorted(by: { $0.key < $1.key }) where !accepted.contains(name) {
            guard let new = after.layouts[name],
                let what = old.change(to: new)
            else { continue }
            return LayoutChange(
                type: name, file: new.file.flatMap { FilePath($0).lastComponent?.string },
                line: new.line, what: what)
        }
        return nil
    }
}

/// A structure or enumeration that data which exists does not have.
public struct LayoutChange: Hashable, Sendable {
    public enum What: Hashable, Sendable {
        case added(member: String)
        /// Bits from the start.
        case moved(member: String, from: UInt64, to: UInt64)
        case resized(member: String)
        /// Bytes.
        case size(from: UInt64, to: UInt64)
        /// Of an enumeration.
        case renumbered(enumerator: String, from: Int64, to: Int64)
    }

    public let type: String
    public let file: String?
    public let line: Int
    public let what: What
}

extension TypeLayouts.Layout {
    /// What is not where it was. A member that is gone harms nobody, and one that has
    /// another name only is the same.
    func change(to new: Self) -> LayoutChange.What? {
        for member in new.members where !members.contains(member) {
            let name = member.name ?? "(without a name)"
            guard let was = members.first(where: { $0.name == member.name && $0.name != nil })
            else {
                let isRenamed = members.contains { old in
                    old.offset == member.offset && old.size == member.size
                        && !new.members.contains { $0.name == old.name }
                }
                if isUnion || isRenamed { continue }
                return .added(member: name)
            }
            if was.offset != member.offset {
                return .moved(member: name, from: was.offset, to: member.offset)
            }
            return .resized(member: name)
        }
        return size == new.size ? nil : .size(from: size, to: new.size)
    }
}
