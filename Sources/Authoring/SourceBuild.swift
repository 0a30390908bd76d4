import Glibc
import ObjectDiff
import PatchFile
import SystemPackage

/// What `build --source` is asked for.
public struct SourceRequest: Sendable {
    /// The linked ELF object that was built of the sources as they are.
    public var base: FilePath
    /// The sources; they are copied, and never written to.
    public var source: FilePath
    /// The change, as `diff -u` or git writes it.
    public var patch: FilePath
    /// How many folders of the names in the change to leave out, as `patch -p`.
    public var strip = 1
    /// A command of the shell that prepares the copy, once; may be empty.
    public var configure = ""
    /// The command that builds, in the copy; run before the change and after.
    public var make = "make"
    public var output: FilePath
    public var label: PatchLabel
    public var acceptCopies = false
    public var acceptedLayouts: Set<String> = []
    public var acceptExceptions = false
    public var libraryPaths: [FilePath] = []

    public init(base: FilePath, source: FilePath, patch: FilePath, output: FilePath) {
        self.base = base
        self.source = source
        self.patch = patch
        self.output = output
        label = PatchLabel(for: output)
    }
}

/// Where a build of a change has got to.
public enum SourceBuildStep: Hashable, Sendable {
    case copying
    case configuring
    case buildingBefore
    case buildingAfter
    /// So many objects are compiled once more, by themselves.
    case compiling(Int)
    case comparing(objects: Int)
}

extension SourceBuildStep: CustomStringConvertible {
    public var description: String {
        switch self {
        case .copying: "copying the sources"
        case .configuring: "configuring"
        case .buildingBefore: "building as it is"
        case .buildingAfter: "building with the change"
        case .compiling(let count):
            "compiling \(count) \(count == 1 ? "object" : "objects") that the build has left"
        case .comparing(let objects):
            "comparing \(objects) \(objects == 1 ? "object" : "objects")"
        }
    }
}

/// Makes a patch from a change of sources: builds them before and after, and compares
/// the objects that the change reaches.
public struct SourceBuild {
    private let request: SourceRequest
    private let progress: (SourceBuildStep) -> Void

    /// - Parameter progress: is told what comes next.
    public static func build(
        _ request: SourceRequest, progress: (SourceBuildStep) -> Void = { _ in }
    ) throws(AuthoringError) -> DiffReport {
        try RequestChecks.checkOutput(
            request.output,
            inputs: [(request.base, "the base"), (request.patch, "the change")])
        return try withoutActuallyEscaping(progress) { progress throws(AuthoringError) in
            try SourceBuild(request: request, progress: progress).run()
        }
    }

    private func run() throws(AuthoringError) -> DiffReport {
        let folder = try TemporaryFolder()
        let source = try absolute(request.source)
        let patch = try absolute(request.patch)
        let tree = try folder.makeFolder("tree")
        let records = (
            before: try folder.makeFolder("before"), after: try folder.makeFolder("after")
        )
        progress(.copying)
        try run(["cp", "-a", source.string + "/.", tree.string], "copy the sources", folder)
        let recorder = try CompileRecorder(in: folder, tree: tree, original: source)
        if !request.configure.isEmpty {
            progress(.configuring)
            try shell(request.configure, in: tree, recorder, records: nil, folder)
        }
        progress(.buildingBefore)
        try shell(request.make, in: tree, recorder, records: records.before, folder)
        let before = try CompileRecord.all(in: records.before)
        guard !before.isEmpty else { throw AuthoringError.nothingCompiled(command: request.make) }
        let touched = try ChangedFiles.names(in: patch, strip: request.strip).map {
            tree.pushing(FilePath($0)).lexicallyNormalized()
        }
        try run(
            [
                "patch", "-d", tree.string, "-p\(request.strip)", "-s", "-f", "-i", patch.string,
            ], "apply the change to the sources", folder)
        progress(.buildingAfter)
        try shell(request.make, in: tree, recorder, records: records.after, folder)
        let pairs = try pairs(before, records.after, Set(touched), recorder, folder)
        progress(.comparing(objects: pairs.count))
        var diff = DiffRequest(
            base: request.base, before: pairs.map(\.before), after: pairs.map(\.after),
            output: request.output)
        diff.label = request.label
        diff.acceptCopies = request.acceptCopies
        diff.acceptedLayouts = request.acceptedLayouts
        diff.acceptExceptions = request.acceptExceptions
        diff.libraryPaths = request.libraryPaths
        return try DiffBuilder.build(diff, sources: pairs.map(\.source))
    }

    /// The two objects of one source.
    private struct Pair {
        let before: FilePath
        let after: FilePath
        let source: String
    }

    /// The objects before and after of each source that the change reaches.
    private func pairs(
        _ before: [CompileRecord], _ records: FilePath, _ touched: Set<FilePath>,
        _ recorder: CompileRecorder, _ folder: borrowing TemporaryFolder
    ) throws(AuthoringError) -> [Pair] {
        // The last of several times is what was linked.
        let old = Dictionary(before.map { ($0.key, $0) }, uniquingKeysWith: { $1 })
        var new = Dictionary(
            try CompileRecord.all(in: records).map { ($0.key, $0.object) },
            uniquingKeysWith: { $1 })
        let left = old.filter { key, record in
            new[key] == nil && record.dependencies.map { !$0.isDisjoint(with: touched) } ?? true
        }
        let isRead = touched.contains { file in
            old.values.contains { $0.dependencies?.contains(file) ?? true }
        }
        guard isRead || !new.isEmpty else {
            throw AuthoringError.changeNotBuilt(files: touched.map(\.string).sorted())
        }
        if !left.isEmpty { progress(.compiling(left.count)) }
        for (index, (key, record)) in left.enumerated() {
            let object = records.appending("left-\(index).o")
            // Through the recorder, for its flags.
            let compiler = FilePath(record.command.first ?? "cc").lastComponent?.string ?? "cc"
            let wrapped = recorder.commands.appending(compiler).string
            try run(
                ["env", "-C", record.folder.string, wrapped]
                    + key.arguments.dropFirst() + ["-o", object.string],
                "compile with the change", folder)
            new[key] = object
        }
        // A new source has been nothing before.
        let nothing = folder.path.appending("nothing.o")
        try writeFile(CompiledObject.nothing, to: nothing)
        return new.sorted { $0.key.order < $1.key.order }.map { key, object in
            Pair(before: old[key]?.object ?? nothing, after: object, source: key.source)
        }
    }

    // MARK: - Commands

    /// Runs a command of the user's in the tree.
    private func shell(
        _ command: String, in tree: FilePath, _ recorder: CompileRecorder, records: FilePath?,
        _ folder: borrowing TemporaryFolder
    ) throws(AuthoringError) {
        try run(
            [
                "env", "-C", tree.string, "PATH=\(recorder.commands):\(CompileRecorder.searchPath)",
                "HOTPATCH_RECORD=\(records?.string ?? "")",
                // So that what is built twice has the same date in it.
                "SOURCE_DATE_EPOCH=\(Self.date)", "sh", "-c", command,
            ], "run '\(command)'", folder)
    }

    private static let date = time(nil)

    private func run(
        _ arguments: [String], _ action: String, _ folder: borrowing TemporaryFolder
    ) throws(AuthoringError) {
        let log = folder.path.appending("log")
        let ending: ChildCommand.Ending
        do throws(Errno) {
            ending = try ChildCommand.run(
                ["sh", "-c", "exec \"$@\" 2>&1", "sh"] + arguments, output: log)
        } catch {
            throw AuthoringError.system(name: arguments[0], action: "run", errno: error)
        }
        switch ending {
        case .exited(0): return
        case .exited(let status):
            throw AuthoringError.commandFailed(
                action: action, status: status, output: try Self.end(of: log))
        case .killed(let signal):
            throw AuthoringError.compilerKilled(compiler: arguments[0], signal: signal)
        }
    }

    /// The last lines of what a command said.
    private static func end(of log: FilePath) throws(AuthoringError) -> String {
        let text = String(decoding: try readFile(log).suffix(4_000), as: UTF8.self)
        return text.split(separator: "\n").suffix(12).joined(separator: "\n")
    }
}

extension FilePath {
    fileprivate var isSource: Bool {
        ["c", "cc", "cpp", "cxx", "C", "c++", "i", "ii"].contains(self.extension)
    }
}

extension CompileRecord.Key {
    fileprivate var order: String { ([folder.string] + arguments).joined(separator: "\0") }

    /// What is compiled, as the command names it.
    fileprivate var source: String { arguments.last { FilePath($0).isSource } ?? "a source" }
}

/// The files that a change names.
enum ChangedFiles {
    /// As `patch -p` takes them: from the lines '--- FILE' and '+++ FILE'.
    static func names(in patch: FilePath, strip: Int) throws(AuthoringError) -> Set<String> {
        let text = String(decoding: try readFile(patch), as: UTF8.self)
        var names: Set<String> = []
        for line in text.split(separator: "\n") {
            guard line.hasPrefix("--- ") || line.hasPrefix("+++ ") else { continue }
            let name = line.dropFirst(4).prefix { $0 != "\t" && $0 != "\r" }
            let parts = name.split(separator: "/", omittingEmptySubsequences: true)
            guard name != "/dev/null", parts.count > strip else { continue }
            names.insert(parts.dropFirst(strip).joined(separator: "/"))
        }
        guard !names.isEmpty else {
            throw AuthoringError.emptyChange(patch: patch.string)
        }
        return names
    }
}
