import SystemPackage

/// A file that an interpreter runs (execve(2), "Interpreter scripts").
public struct Script: Equatable, Sendable {
    public let interpreter: FilePath
    /// What stands behind it on the first line.
    public let argument: String?

    /// nil where the file is no script, or cannot be read.
    public init?(_ path: FilePath) {
        // What the kernel reads of it (BINPRM_BUF_SIZE).
        var head = [UInt8](repeating: 0, count: 256)
        do {
            let file = try FileDescriptor.open(
                path, .readOnly, options: [.closeOnExec, .nonBlocking])
            let count = try file.closeAfter {
                try unsafe head.withUnsafeMutableBytes { try unsafe file.read(into: $0) }
            }
            head.removeSubrange(count...)
        } catch {
            return nil
        }
        self.init(firstBytes: head)
    }

    init?(firstBytes head: [UInt8]) {
        guard head.starts(with: [UInt8(ascii: "#"), UInt8(ascii: "!")]) else { return nil }
        let line = head.dropFirst(2).prefix { $0 != UInt8(ascii: "\n") }
        let words = line.split(maxSplits: 1) { Self.isBlank($0) }
        guard let first = words.first else { return nil }
        interpreter = FilePath(String(decoding: first, as: UTF8.self))
        let rest = words.dropFirst().first.map { rest in
            var rest = rest.drop(while: Self.isBlank)
            while let last = rest.last, Self.isBlank(last) { rest.removeLast() }
            return rest
        }
        argument = rest.flatMap { $0.isEmpty ? nil : String(decoding: $0, as: UTF8.self) }
    }

    /// Both, as the line has them.
    public var command: String {
        [interpreter.string, argument].compactMap(\.self).joined(separator: " ")
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
    }
}
