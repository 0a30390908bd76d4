import ArgumentParser
import Glibc
import HotpatchKit
import SystemPackage

struct Install: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Keep a patch applied, restarts included.",
        discussion: """
            The patch is verified, kept, and applied to what runs; 'hotpatch watch' applies it to \
            whatever starts later. Where processes cannot be patched now, it stays installed, and \
            the exit code is 4.

            Patches for one build form a series, in the order in which they are installed. A patch \
            that supersedes others takes their place, a cumulative one that of all; what a patch \
            requires must be installed before.
            """)

    @Argument(
        help: ArgumentHelp(
            "The patch file. Several are installed together: all of them or none.",
            valueName: "FIX.hpatch"),
        completion: .file(extensions: ["hpatch"]))
    var patches: [String]

    @Flag(help: "Put a patch in the place of another one of its name.")
    var replace = false

    @Flag(name: .customLong("no-apply"), help: "Keep it only; what runs is not touched.")
    var keepsOnly = false

    @Option(
        help: ArgumentHelp(
            """
            Where the program or library is, if it is neither running nor in one of the usual \
            folders; may be given several times.
            """, valueName: "ELF"), completion: .file())
    var path: [String] = []

    @OptionGroup var arguments: StoreArguments
    var diagnostics: DiagnosticOptions { arguments.diagnostics }

    func run() throws {
        let (candidates, places) = try read()
        try arguments.run(
            .install, of: candidates.map { AuditedWork.Subject($0.file) },
            touchesProcesses: !keepsOnly, nothing: "No patch was given."
        ) { change throws(Failure) in
            let outcomes: [Series.Outcome]
            do throws(StoreError) {
                outcomes = try change.install(
                    candidates, replacing: replace, by: AuditEvent.Actor.current.title,
                    paths: { places.paths[$0] ?? [] })
            } catch {
                throw Failure(error)
            }
            return zip(candidates, outcomes).map { candidate, outcome in
                let base = candidate.file.manifest.base
                return StoreRow(
                    id: PatchID(candidate.file), base: base.identity, baseName: base.fileName,
                    outcome: .change(outcome))
            }
        }
    }

    /// The patches that are to be installed, and where their bases are.
    private func read() throws(Failure) -> ([PatchCandidate], BaseFiles) {
        let trail = AuditTrail(arguments.state.locations)
        return try arguments.noting(.install, of: [], trail) { () throws(Failure) in
            let candidates = try patches.map { path throws(Failure) in
                do throws(PatchFileError) {
                    return try PatchCandidate(path: FilePath(path))
                } catch {
                    throw Failure(.failed, error.code, error)
                }
            }
            return (
                candidates,
                try BaseFiles(of: candidates.map(\.file), named: path.map { FilePath($0) })
            )
        }
    }
}

/// Where the files of bases are, so that what starts from them later can be patched.
struct BaseFiles {
    private(set) var paths: [BaseIdentity: [FilePath]] = [:]

    /// - Parameter named: files of the bases that the user names.
    init(of patches: [PatchFile], named: [FilePath]) throws(Failure) {
        let wanted = Set(patches.map(\.manifest.base.identity))
        for path in named {
            let path = Locations.absolute(path)
            let identity: BaseIdentity
            do throws(ELFError) {
                identity = try BaseIdentity(of: ELFImage.open(path: path))
            } catch {
                throw Failure(.failed, error.code, error)
            }
            guard wanted.contains(identity) else {
                throw Failure(
                    status: .refused, code: "store.other-build",
                    message: "'\(path)' is build \(identity), for which none of these patches was "
                        + "made; name the file that they were built for")
            }
            add(path, of: identity)
        }
        for base in patches.map(\.manifest.base) {
            for path in base.usualPlaces.map({ FilePath($0) }) {
                if identity(of: path) == base.identity { add(path, of: base.identity) }
            }
        }
        addThoseThatRun(wanted)
    }

    private mutating func add(_ path: FilePath, of identity: BaseIdentity) {
        if paths[identity]?.contains(path) ?? false { return }
        paths[identity, default: []].append(path)
    }

    private func identity(of path: FilePath) -> BaseIdentity? {
        do throws(ELFError) {
            return try BaseIdentity(of: ELFImage.open(path: path))
        } catch {
            // Nothing of that name is there, or something else.
            return nil
        }
    }

    /// A path is that of the process's mount namespace: it counts where it leads to the
    /// same build here.
    private mutating func addThoseThatRun(_ wanted: Set<BaseIdentity>) {
        var candidates: Set<String> = []
        _ = try? ProcessSearch.matching { process throws(LiveProcessError) in
            for object in try process.loadedObjects() where !object.isDeleted {
                let isWanted = object.buildID.map { wanted.contains(.buildID($0.bytes)) } ?? true
                if isWanted { candidates.insert(object.path) }
            }
            return false
        }
        for path in candidates.sorted().map({ FilePath($0) }) {
            if let identity = identity(of: path), wanted.contains(identity) {
                add(path, of: identity)
            }
        }
    }
}
