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
    public var acceptedData: Set<String> = []
    public var acceptExceptions = false
    /// Sources that are no part of the build, compiled as those that change: callbacks,
    /// and what these need.
    public var with: [FilePath] = []
    public var libraryPaths: [FilePath] = []
    /// A folder for all that is built, which stays: the next request with the same
    /// sources and commands begins with what is there. nil where nothing is to stay.
    public var work: FilePath?

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
    /// What an earlier request has built as it is serves again.
    case reusing
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
        case .reusing: "taking what is built already"
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

/// What is told while a change is built.
public struct SourceBuildProgress: Sendable {
    public let step: SourceBuildStep
    /// How many objects the step has compiled so far.
    public internal(set) var objects = 0
    /// How long it has taken so far.
    public internal(set) var duration = Duration.zero
}

/// Makes a patch from a change of sources: builds them before and after, and compares
/// the objects that the change reaches.
public struct SourceBuild {
    private let request: SourceRequest
    private let progress: (SourceBuildProgress) -> Void

    /// - Parameter progress: is told what comes next, and twice a second how far it is.
    public static func build(
        _ request: SourceRequest, progress: (SourceBuildProgress) -> Void = { _ in }
    ) throws(AuthoringError) -> DiffReport {
        try RequestChecks.checkOutput(
            request.output,
            inputs: [(request.base, "the base"), (request.patch, "the change")]
                + request.with.map { ($0, "a source of the fix") })
        return try withoutActuallyEscaping(progress) { progress throws(AuthoringError) in
            try SourceBuild(request: request, progress: progress).run()
        }
    }

    private func run() throws(AuthoringError) -> DiffReport {
        let source = try absolute(request.source)
        let patch = try absolute(request.patch)
        var with: [FilePath] = []
        for source in request.with { with.append(try absolute(source)) }
        let site = try BuildSite(request.work, source: source, progress: progress)
        let touched = try ChangedFiles.names(in: patch, strip: request.strip).map {
            site.tree.pushing(FilePath($0)).lexicallyNormalized()
        }
        try buildBefore(site, patch)
        let before = try CompileRecord.all(in: site.before)
        guard !before.isEmpty else { throw AuthoringError.nothingCompiled(command: request.make) }
        try apply(patch, in: site)
        try site.run(request.make, as: .buildingAfter, records: site.after)
        let pairs = try pairs(before, Set(touched), site)
        site.begin(.comparing(objects: pairs.count))
        var diff = DiffRequest(
            base: request.base, before: pairs.map(\.before), after: pairs.map(\.after),
            output: request.output)
        diff.label = request.label
        diff.acceptCopies = request.acceptCopies
        diff.acceptedLayouts = request.acceptedLayouts
        diff.acceptedData = request.acceptedData
        diff.with = try added(with, like: before, of: pairs, site)
        diff.acceptExceptions = request.acceptExceptions
        diff.libraryPaths = request.libraryPaths
        return try DiffBuilder.build(
            diff, sources: pairs.map(\.source),
            changed: try ChangedLines(in: patch, strip: request.strip))
    }

    /// Leaves the tree as it is before the change, and built, with its objects noted.
    private func buildBefore(
        _ site: BuildSite, _ patch: FilePath
    ) throws(AuthoringError) {
        let stamp = try site.stamp(commands: [request.configure, request.make])
        if try site.reuse(stamp) { return try apply(patch, in: site, isRehearsal: true) }
        try site.copySources()
        // Before minutes are spent on the build.
        try apply(patch, in: site, isRehearsal: true)
        if !request.configure.isEmpty {
            try site.run(request.configure, as: .configuring, records: nil)
        }
        try site.run(request.make, as: .buildingBefore, records: site.before)
        try site.keep(stamp)
    }

    private func apply(
        _ patch: FilePath, in site: BuildSite, isRehearsal: Bool = false
    ) throws(AuthoringError) {
        try site.run(
            [
                "patch", "-d", site.tree.string, "-p\(request.strip)", "-s", "-f", "-i",
                patch.string,
            ] + (isRehearsal ? ["--dry-run"] : []), "apply the change to the sources",
            log: "patch")
    }

    /// The two objects of one source.
    private struct Pair {
        let before: FilePath
        let after: FilePath
        let source: String
    }

    /// The objects before and after of each source that the change reaches.
    private func pairs(
        _ before: [CompileRecord], _ touched: Set<FilePath>, _ site: BuildSite
    ) throws(AuthoringError) -> [Pair] {
        // The last of several times is what was linked.
        let old = Dictionary(before.map { ($0.key, $0) }, uniquingKeysWith: { $1 })
        var new = Dictionary(
            try CompileRecord.all(in: site.after).map { ($0.key, $0.object) },
            uniquingKeysWith: { $1 })
        let left = old.filter { key, record in
            new[key] == nil && record.dependencies.map { !$0.isDisjoint(with: touched) } ?? true
        }
        let isRead = touched.contains { file in
            old.values.contains { $0.dependencies?.contains(file) ?? true }
        }
        guard isRead || !new.isEmpty else {
            throw AuthoringError.changeNotBuilt(
                files: touched.map { $0.string.replacing("\(site.tree)/", with: "") }.sorted())
        }
        if !left.isEmpty { site.begin(.compiling(left.count)) }
        for (index, (key, record)) in left.enumerated() {
            let object = site.after.appending("left-\(index).o")
            // Through the recorder, for its flags.
            let compiler = try site.wrapper(of: record)
            try site.run(
                ["env", "-C", record.folder.string, compiler.string]
                    + key.arguments.dropFirst() + ["-o", object.string],
                "compile with the change", log: "compile")
            new[key] = object
        }
        // A new source has been nothing before.
        let nothing = site.after.appending("nothing.o")
        try writeFile(CompiledObject.nothing, to: nothing)
        return new.sorted { $0.key.order < $1.key.order }.map { key, object in
            Pair(before: old[key]?.object ?? nothing, after: object, source: key.source)
        }
    }

    /// Compiles sources that are no part of the build, each as one of its language that
    /// the change reaches, or else any.
    private func added(
        _ sources: [FilePath], like records: [CompileRecord], of pairs: [Pair], _ site: BuildSite
    ) throws(AuthoringError) -> [FilePath] {
        let changed = Set(pairs.map(\.source))
        let models =
            records.filter { changed.contains($0.key.source) }
            + records.filter { !changed.contains($0.key.source) }
        var objects: [FilePath] = []
        for (index, source) in sources.enumerated() {
            let isAlike = { (record: CompileRecord) in
                FilePath(record.key.source).extension == source.extension
            }
            guard let model = models.first(where: isAlike) ?? models.first else { continue }
            let object = site.after.appending("with-\(index).o")
            var arguments = Array(model.key.arguments.dropFirst())
            if let position = arguments.lastIndex(where: { FilePath($0).isSource }) {
                arguments[position] = source.string
            }
            let compiler = try site.wrapper(of: model)
            // What stands beside the other source is found as from there.
            let beside = model.folder.pushing(FilePath(model.key.source)).removingLastComponent()
            try site.run(
                ["env", "-C", model.folder.string, compiler.string] + arguments
                    + ["-iquote", beside.string, "-o", object.string],
                "compile '\(source)'", log: "with")
            objects.append(object)
        }
        return objects
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
        for line in text.split(separator: "\n")
        where line.hasPrefix("--- ") || line.hasPrefix("+++ ") {
            if let name = name(in: line, strip: strip) { names.insert(name) }
        }
        guard !names.isEmpty else {
            throw AuthoringError.emptyChange(patch: patch.string)
        }
        return names
    }

    /// Of a line '--- FILE' or '+++ FILE', as `patch -p` takes it; nil where there is none.
    static func name(in line: Substring, strip: Int) -> String? {
        let name = line.dropFirst(4).prefix { $0 != "\t" && $0 != "\r" }
        let parts = name.split(separator: "/", omittingEmptySubsequences: true)
        guard name != "/dev/null", parts.count > strip else { return nil }
        return parts.dropFirst(strip).joined(separator: "/")
    }
}
