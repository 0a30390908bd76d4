import SystemPackage

/// A function that the change alters, and those of the replaced ones that have a copy of
/// it inside: they come along because of it.
public struct InlinedChange: Hashable, Sendable {
    public let function: String
    /// Symbols of replaced functions, in the order of their names.
    public let into: [String]
}

/// The lines of the sources after a change that it alters.
struct ChangedLines {
    /// By the file's name in the change; of what is only left out, the line behind it.
    private var lines: [String: [Int]] = [:]

    /// Of a change as `diff -u` writes it, read as `patch -p` does.
    init(in patch: FilePath, strip: Int) throws(AuthoringError) {
        let text = String(decoding: try readFile(patch), as: UTF8.self)
        var file: String?
        var next = 0
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("+++ ") {
                file = ChangedFiles.name(in: line, strip: strip)
            } else if line.hasPrefix("@@ ") {
                next = Self.start(ofHunk: line) ?? 0
            } else if line.hasPrefix("+") || line.hasPrefix("-"), !line.hasPrefix("--- ") {
                if let file { lines[file, default: []].append(next) }
                if line.hasPrefix("+") { next += 1 }
            } else {
                next += 1
            }
        }
    }

    /// The line after the change: `@@ -1,2 +3,4 @@`.
    private static func start(ofHunk line: Substring) -> Int? {
        guard let plus = line.firstIndex(of: "+") else { return nil }
        return Int(line[line.index(after: plus)...].prefix { $0.isNumber })
    }

    /// Whether one of `range` is altered in the file that compilers call `path`.
    func alters(_ path: String, _ range: Range<Int>) -> Bool {
        lines.contains { name, lines in
            (path == name || path.hasSuffix("/" + name)) && lines.contains { range.contains($0) }
        }
    }

    /// The altered functions that are inlined into replaced ones.
    ///
    /// - Parameter debug: of the objects after the change.
    func inlined(_ debug: [DebugInformation], into replaced: [String]) -> [InlinedChange] {
        var found: [String: Set<String>] = [:]
        for information in debug {
            var starts: [String: Set<Int>] = [:]
            for function in information.functions {
                if let file = function.file { starts[file, default: []].insert(function.line) }
            }
            for copy in information.copies {
                if let file = copy.file { starts[file, default: []].insert(copy.line) }
            }
            for copy in information.copies {
                guard let file = copy.file, let container = copy.container,
                    // A clone is called after what it was made of.
                    let symbol = replaced.first(where: {
                        $0 == container || $0.hasPrefix(container + ".")
                    })
                else { continue }
                // A function ends where the next one begins, as far as can be told.
                let end = starts[file]?.filter { $0 > copy.line }.min() ?? Int.max
                if alters(file, copy.line..<end) { found[copy.name, default: []].insert(symbol) }
            }
        }
        return found.sorted { $0.key < $1.key }.map {
            InlinedChange(function: $0.key, into: $0.value.sorted())
        }
    }
}
