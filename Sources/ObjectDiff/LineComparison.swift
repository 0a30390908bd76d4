import Addresses
import CDebugInfo
import SystemPackage

/// The lines of the source that the instructions of an object belong to, by the
/// debug information.
struct SourceLines {
    /// Of each section, in the order of offsets.
    private var rows: [Int: [(offset: UInt64, line: Int)]] = [:]

    /// Reads those of the object file at `path`; none where it has no debug
    /// information.
    init(of path: FilePath) {
        let collector = Collector()
        unsafe path.collectDebugInformation(in: collector) { session, context in
            unsafe cdebuginfo_lines(session, context) {
                context, section, offset, line in
                guard let context = unsafe context else { return }
                unsafe Unmanaged<Collector>.fromOpaque(context).takeUnretainedValue()
                    .rows[Int(section), default: []].append((offset, Int(line)))
            }
        }
        rows = collector.rows.mapValues { $0.sorted { $0.offset < $1.offset } }
    }

    private final class Collector {
        var rows: [Int: [(offset: UInt64, line: Int)]] = [:]
    }

    /// The line of the instruction at `offset` of a section; nil where none is told.
    func line(_ section: Int, at offset: Int) -> Int? {
        guard let rows = rows[section] else { return nil }
        let next = rows.partitioningIndex { $0.offset <= UInt64(clamping: offset) }
        return next > 0 ? rows[next - 1].line : nil
    }
}

/// Tells numbers that are lines of the source from others.
struct LineComparison {
    /// A statement may go over several lines, of which `__LINE__` is not the one that
    /// the debug information has.
    private static let longestStatement: Int64 = 64

    let before: SourceLines
    let after: SourceLines

    /// Whether a number that differs has moved with the line of its instruction, and
    /// is that line.
    func areLines(_ numbers: CodeComparison.Numbers, before old: Int, after new: Int) -> Bool {
        guard let was = before.line(old, at: numbers.place.before),
            let now = after.line(new, at: numbers.place.after), was > 0, now > 0
        else { return false }
        let distance = numbers.before &- Int64(was)
        return distance == numbers.after &- Int64(now)
            && (-Self.longestStatement...Self.longestStatement).contains(distance)
    }
}
