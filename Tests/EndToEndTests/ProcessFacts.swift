import SystemPackage
import TestSupport

/// What a test sees of a process from outside.
struct ProcessFacts {
    let pid: Int32

    init(_ victim: Victim) { pid = victim.pid }
    init(pid: Int32) { self.pid = pid }

    private var directory: FilePath { FilePath("/proc/\(pid)") }

    /// The lines of its memory map.
    func maps() throws -> [String] { try directory.appending("maps").lines() }

    /// A field of `/proc/PID/status`.
    func status(_ field: String) throws -> String {
        let line = try directory.appending("status").lines().first { $0.hasPrefix(field + ":") }
        return String(line?.dropFirst(field.count + 1).drop { $0 == "\t" } ?? "")
    }

    /// The letter of its state, such as `S` or `T`.
    func state() throws -> Character? { try status("State").first }

    /// When it started, in ticks since the boot: with the process id this tells
    /// whether it is the same process.
    func startTime() throws -> String {
        let text = String(decoding: try directory.appending("stat").bytes(), as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return "" }
        return text[end...].split(separator: " ").dropFirst(20).first.map(String.init) ?? ""
    }

    /// Everything executable in it with what it contains.
    func code() throws -> Code {
        let memory = try FileDescriptor.open(
            directory.appending("mem"), .readOnly, options: .closeOnExec)
        return try memory.closeAfter {
            var regions: [Code.Region] = []
            let lines = try maps()
            // The kernel's page at the end of the address space cannot be read.
            for line in lines where line.contains(" r-xp ") && !line.hasSuffix("[vsyscall]") {
                guard let (start, end) = Self.range(of: line) else { continue }
                var bytes = [UInt8](repeating: 0, count: Int(end - start))
                let count = try unsafe bytes.withUnsafeMutableBytes {
                    try unsafe memory.read(fromAbsoluteOffset: Int64(start), into: $0)
                }
                regions.append(Code.Region(line: line, bytes: Array(bytes.prefix(count))))
            }
            return Code(regions: regions, mappings: lines.count)
        }
    }

    /// What must be the same where nothing was changed.
    struct Code: Equatable {
        struct Region: Equatable {
            let line: String
            let bytes: [UInt8]
        }

        let regions: [Region]
        /// The number of all mappings, those without code included.
        let mappings: Int
    }

    static func range(of line: String) -> (start: UInt64, end: UInt64)? {
        let ends = line.prefix { $0 != " " }.split(separator: "-")
        guard ends.count == 2, let start = UInt64(ends[0], radix: 16),
            let end = UInt64(ends[1], radix: 16)
        else { return nil }
        return (start, end)
    }
}
