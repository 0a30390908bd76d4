import Glibc
import SystemPackage

/// Where a change is built, and what is run there: for one request, or in a folder that
/// stays and of which the next request takes what was built before the change.
final class BuildSite {
    /// The copy of the sources. It has the same name in every request, since names of
    /// folders are in what is compiled.
    let tree: FilePath
    /// Where the objects of the two builds are noted.
    let before: FilePath
    let after: FilePath
    private let folder: TemporaryFolder
    private let source: FilePath
    private let commands: CompileRecorder
    private let progress: (SourceBuildProgress) -> Void
    /// Keeps others out of a folder that stays.
    private let claim: WorkClaim?

    /// - Parameters:
    ///   - work: a folder of ours, an empty one, or one that is to be made; nil for one
    ///     that goes away.
    ///   - source: the sources, from the root.
    init(
        _ work: FilePath?, source: FilePath, progress: @escaping (SourceBuildProgress) -> Void
    ) throws(AuthoringError) {
        claim = try work.map { work throws(AuthoringError) in
            try WorkClaim(to: work, source: source)
        }
        self.source = source
        self.progress = progress
        folder = try Self.folder(work)
        tree = folder.path.appending("tree")
        before = folder.path.appending("before")
        after = folder.path.appending("after")
        TemporaryFolder.remove(folder.path.appending("commands"))
        commands = try CompileRecorder(in: folder, tree: tree, original: source)
    }

    private static func folder(_ work: FilePath?) throws(AuthoringError) -> TemporaryFolder {
        guard let work else { return try TemporaryFolder() }
        return TemporaryFolder(keeping: try absolute(work))
    }

    // MARK: - What an earlier request has left

    /// All that decides what the build before the change makes, as far as it can be told
    /// without doing it: the sources by name, size and time, the commands, the
    /// environment and the compilers.
    func stamp(commands: [String]) throws(AuthoringError) -> String {
        let list = folder.path.appending("sources")
        try runQuietly(
            ["sh", "-c", "cd \"$1\" && find . -printf '%p %s %T@ %m %l\\n'", "sh", source.string],
            "read the sources", output: list)
        let files = String(decoding: try readFile(list), as: UTF8.self).split(separator: "\n")
        let variables = [
            "PATH", "CC", "CXX", "CFLAGS", "CPPFLAGS", "CXXFLAGS", "LDFLAGS", "LIBS",
            "SOURCE_DATE_EPOCH",
        ].map { name in
            unsafe "\(name)=\(getenv(name).map { unsafe String(cString: $0) } ?? "")"
        }
        return
            ([source.string] + commands + variables + self.commands.identities
            + files.sorted().map(String.init)).joined(separator: "\n")
    }

    /// Takes what was built before the change, where the same was asked for.
    func reuse(_ stamp: String) throws(AuthoringError) -> Bool {
        let stampFile = folder.path.appending("stamp")
        guard folder.isKept, unsafe access(stampFile.string, F_OK) == 0,
            try readFile(stampFile) == Array(stamp.utf8)
        else {
            try clear(["stamp", "tree", "built", "before", "after"])
            _ = try folder.makeFolder("before")
            _ = try folder.makeFolder("after")
            return false
        }
        begin(.reusing)
        try clear(["tree", "after"])
        _ = try folder.makeFolder("after")
        try copy(folder.path.appending("built"), to: tree)
        return true
    }

    private func clear(_ names: [String]) throws(AuthoringError) {
        try run(
            ["rm", "-rf"] + names.map { folder.path.appending($0).string },
            "remove what an earlier build has left", log: "copy")
    }

    func copySources() throws(AuthoringError) {
        begin(.copying)
        try copy(source, to: tree)
    }

    /// Notes that the tree is built as it is before the change.
    func keep(_ stamp: String) throws(AuthoringError) {
        guard folder.isKept else { return }
        try copy(tree, to: folder.path.appending("built"))
        try writeFile(stamp, to: folder.path.appending("stamp"))
    }

    private func copy(_ from: FilePath, to: FilePath) throws(AuthoringError) {
        try run(["cp", "-a", from.string, to.string], "copy the sources", log: "copy")
    }

    // MARK: - Commands

    func begin(_ step: SourceBuildStep) { progress(SourceBuildProgress(step: step)) }

    /// Runs a command of the user's in the tree.
    ///
    /// - Parameter records: where what it compiles is noted, or nil.
    func run(
        _ command: String, as step: SourceBuildStep, records: FilePath?
    ) throws(AuthoringError) {
        begin(step)
        let path = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/bin:/bin"
        // So that what is built twice has the same date in it: 1980, where the time of
        // some archives begins.
        let date = unsafe getenv("SOURCE_DATE_EPOCH").map { unsafe String(cString: $0) }
        let start = ContinuousClock.now
        var told = start
        let log =
            switch step {
            case .configuring: "configure"
            case .buildingBefore: "before"
            default: "after"
            }
        try run(
            traced: true,
            [
                "env", "-C", tree.string, "PATH=\(commands.folder):\(path)",
                "HOTPATCH_RECORD=\(records?.string ?? "")", "CCACHE_DISABLE=1",
                "SOURCE_DATE_EPOCH=\(date ?? "315532800")", "sh", "-c", command,
            ], "run '\(command)'", log: log
        ) {
            guard told.duration(to: .now) > .milliseconds(500) else { return }
            told = .now
            progress(
                SourceBuildProgress(
                    step: step, objects: records.map(CompileRecord.count) ?? 0,
                    duration: start.duration(to: told)))
        }
    }

    /// Runs a command to its end, with what it says in a log.
    func run(
        traced isTraced: Bool = false, _ arguments: [String], _ action: String, log name: String,
        meanwhile: () -> Void = {}
    ) throws(AuthoringError) {
        let log = folder.path.appending("\(name).log")
        try runQuietly(
            traced: isTraced, ["sh", "-c", "exec \"$@\" 2>&1", "sh"] + arguments, action,
            output: log, meanwhile: meanwhile)
    }

    /// The wrapper of the compiler that has made an object.
    func wrapper(of record: CompileRecord) throws(AuthoringError) -> FilePath {
        try commands.wrapper(for: FilePath(record.command.first ?? "cc"))
    }

    private func runQuietly(
        traced isTraced: Bool = false, _ arguments: [String], _ action: String, output: FilePath,
        meanwhile: () -> Void = {}
    ) throws(AuthoringError) {
        let commands = commands
        let ending: ChildCommand.Ending
        do throws(Errno) {
            ending = try ChildCommand.run(
                arguments, output: output, isGroup: true,
                substitute: isTraced ? { commands.substitute(for: $0) } : nil,
                meanwhile: meanwhile)
        } catch {
            throw AuthoringError.system(name: arguments[0], action: "run", errno: error)
        }
        switch ending {
        case .exited(0): return
        case .exited(let status):
            throw AuthoringError.commandFailed(
                action: action, status: status, output: try Self.end(of: output),
                log: folder.isKept ? output.string : nil)
        case .killed(let signal):
            throw AuthoringError.commandKilled(action: action, signal: signal)
        }
    }

    /// The last lines of what a command said.
    private static func end(of log: FilePath) throws(AuthoringError) -> String {
        let text = String(decoding: try readFile(log).suffix(4_000), as: UTF8.self)
        return text.split(separator: "\n").suffix(12).joined(separator: "\n")
    }
}

/// A folder of the user's that is ours alone, and in which nobody's belongings are,
/// while this lives.
private final class WorkClaim {
    private let file: FileDescriptor
    private static let marker = "hotpatch-work"

    init(to work: FilePath, source: FilePath) throws(AuthoringError) {
        let isNew = unsafe mkdir(work.string, 0o700) == 0
        let path = try absolute(work)
        func refusal(_ reason: String) -> AuthoringError {
            if isNew { unsafe rmdir(work.string) }
            return AuthoringError.workFolder(folder: work.string, reason: reason)
        }
        guard !path.starts(with: source) else {
            throw refusal("it is inside of the sources, which are copied to it")
        }
        let names = try fileNames(in: path).filter { $0 != "." && $0 != ".." }
        guard isNew || names.isEmpty || names.contains(Self.marker) else {
            throw refusal("it has files that are not of an earlier build")
        }
        do throws(Errno) {
            file = try Self.open(path.appending(Self.marker))
        } catch .wouldBlock {
            throw refusal("another build is at work in it")
        } catch {
            throw AuthoringError.system(name: path.string, action: "write to", errno: error)
        }
    }

    private static func open(_ path: FilePath) throws(Errno) -> FileDescriptor {
        let descriptor = unsafe Glibc.open(path.string, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let error = Errno(rawValue: errno)
            Glibc.close(descriptor)
            throw error
        }
        return FileDescriptor(rawValue: descriptor)
    }

    // The lock goes with the descriptor.
    deinit { Glibc.close(file.rawValue) }
}
