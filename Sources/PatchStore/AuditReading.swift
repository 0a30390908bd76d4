import Glibc
import JSONText
import SystemPackage

/// What the log says.
public struct AuditRecords: Sendable {
    /// The oldest first.
    public var events: [AuditEvent] = []
    /// The numbers of lines that are no records, from 1 on; at most ``shownLines``.
    public var skippedLines: [Int] = []
    public var skippedCount = 0
    /// The last line has no end: a write was cut off, by a full disk or a loss of power.
    public var isTorn = false

    public static let shownLines = 10
}

extension AuditLog {
    /// More bytes than any record has, even one of characters that JSON writes with six.
    static let lineLimit = 1 << 18

    /// Reads the log from its start; empty where there is none.
    ///
    /// - Parameters:
    ///   - last: how many of the latest that match are kept; all where it is nil.
    ///   - matches: which records are wanted.
    public func read(
        last: Int? = nil, where matches: @escaping (AuditEvent) -> Bool = { _ in true }
    ) throws(StoreError) -> AuditRecords {
        _ = try PatchStore(opening: locations)
        var reader = AuditReader(last: last, matches: matches)
        do throws(StoreError) {
            let file = try open(O_RDONLY)
            do throws(Errno) { try reader.readLines(of: file) } catch {
                throw StoreError.system(locations.audit, action: "read", error)
            }
        } catch .system(_, _, .noSuchFileOrDirectory) {
            return AuditRecords()
        }
        return reader.finish()
    }
}

/// The lines of a log, whatever is in them.
private struct AuditReader {
    private let last: Int?
    private let matches: (AuditEvent) -> Bool
    private var records = AuditRecords()
    private var line: [UInt8] = []
    private var number = 0
    /// The line is longer than any record; the rest of it is passed over.
    private var isTooLong = false

    init(last: Int?, matches: @escaping (AuditEvent) -> Bool) {
        self.last = last
        self.matches = matches
    }

    mutating func readLines(of file: borrowing OpenFile) throws(Errno) {
        while true {
            let piece = try file.piece()
            if piece.isEmpty { return }
            var rest = piece[...]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                take(rest[..<end])
                endLine()
                rest = rest[(end + 1)...]
            }
            take(rest)
        }
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>) {
        isTooLong = isTooLong || line.count + bytes.count > AuditLog.lineLimit
        if isTooLong { line = [] } else { line += bytes }
    }

    private mutating func endLine() {
        number += 1
        defer {
            line = []
            isTooLong = false
        }
        if isTooLong { return skip() }
        // Two that began anew after a torn line at once.
        if line.isEmpty { return }
        do throws(JSONError) {
            let event = try AuditEvent(JSONValue(parsing: line))
            if matches(event) { records.events.append(event) }
        } catch {
            skip()
        }
        trim(beyond: 1000)
    }

    private mutating func skip() {
        records.skippedCount += 1
        if records.skippedLines.count < AuditRecords.shownLines {
            records.skippedLines.append(number)
        }
    }

    private mutating func trim(beyond slack: Int) {
        guard let last, records.events.count - slack > last else { return }
        records.events.removeFirst(records.events.count - last)
    }

    consuming func finish() -> AuditRecords {
        records.isTorn = !line.isEmpty || isTooLong
        trim(beyond: 0)
        return records
    }
}
