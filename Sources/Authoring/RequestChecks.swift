import Glibc
import PatchFile
import SystemPackage

/// What can be wrong with the files that a request names, found before anything
/// is compiled.
struct RequestChecks {
    private let request: BuildRequest

    init(_ request: BuildRequest) {
        self.request = request
    }

    func run() throws(AuthoringError) {
        try checkOutput()
        try checkSources()
        let misplaced = request.compilerFlags.first {
            $0.hasPrefix("-o") || ["-c", "-S", "-E", "-M", "-MM", "-fsyntax-only"].contains($0)
        }
        if let misplaced { throw AuthoringError.compilerFlag(misplaced) }
    }

    private func checkSources() throws(AuthoringError) {
        var seen: Set<FileIdentity> = []
        for source in request.sources {
            if let defect = Self.defect(of: source) {
                throw AuthoringError.source(name: source.string, defect)
            }
            if let file = FileIdentity(source), !seen.insert(file).inserted {
                throw AuthoringError.source(name: source.string, .namedTwice)
            }
        }
    }

    private static func defect(of source: FilePath) -> SourceDefect? {
        var status = stat()
        guard unsafe stat(source.string, &status) == 0 else {
            return .unreadable(Errno(rawValue: errno))
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: return .folder
        default: return .notARegularFile
        }
        do {
            let file = try FileDescriptor.open(
                source, .readOnly, options: [.closeOnExec, .nonBlocking])
            return try file.closeAfter {
                var start = [UInt8](repeating: 0, count: 4)
                _ = try unsafe start.withUnsafeMutableBytes { try unsafe file.read(into: $0) }
                return start == [0x7f] + Array("ELF".utf8) ? .compiledAlready : nil
            }
        } catch {
            return .unreadable(error as? Errno ?? .ioError)
        }
    }

    private func checkOutput() throws(AuthoringError) {
        try Self.checkOutput(
            request.output,
            inputs: [(request.base, "the base")]
                + request.sources.map { ($0, "a source of the fix") })
    }

    /// Whether a patch may be written to `output`: it is none of the files that it is
    /// made of, and nothing that somebody could miss.
    static func checkOutput(
        _ output: FilePath, inputs: [(path: FilePath, role: String)]
    ) throws(AuthoringError) {
        if let file = FileIdentity(output),
            let input = inputs.first(where: { FileIdentity($0.path) == file })
        {
            throw AuthoringError.outputIsInput(output: output.string, role: input.role)
        }
        do throws(PatchFileError) {
            try PatchFile.checkOutput(output)
        } catch {
            throw AuthoringError.patch(error)
        }
    }
}

/// Which file a path leads to, whatever its names.
private struct FileIdentity: Hashable {
    let device: UInt64
    let inode: UInt64

    /// nil where there is none.
    init?(_ path: FilePath) {
        var status = stat()
        guard unsafe stat(path.string, &status) == 0 else { return nil }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }
}
