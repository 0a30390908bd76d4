import Glibc
import HotpatchKit
import SystemPackage

/// The patches that may go into a program that is started.
struct RunPatches {
    let files: [PatchFile]
    /// The digests of those that the user has named.
    let named: Set<[UInt8]>

    var isEmpty: Bool { files.isEmpty }

    /// Installed patches come first, in their order.
    init(
        named paths: [FilePath], for program: RunnableFile, in locations: Locations
    ) throws(Failure) {
        var files = try Self.installed(for: program, in: locations)
        var named: Set<[UInt8]> = []
        for path in paths {
            do throws(PatchFileError) {
                let patch = try PatchFile.read(path: path)
                if !named.insert(patch.digest).inserted { continue }
                if !files.contains(where: { $0.digest == patch.digest }) { files.append(patch) }
            } catch {
                throw Failure(.failed, error.code, error)
            }
        }
        self.files = files
        self.named = named
    }

    private static func installed(
        for program: RunnableFile, in locations: Locations
    ) throws(Failure) -> [PatchFile] {
        let contents: StoreContents
        do throws(StoreError) {
            contents = try PatchStore(opening: locations).read()
        } catch {
            throw Failure(error)
        }
        // Where the program cannot be read, what is mapped tells later.
        let identity = program.identity
        for patch in contents.damaged {
            if patch.entry.base == identity {
                throw Failure(status: .failed, code: patch.code, message: patch.description)
            }
            StandardError.write("hotpatch: warning: \(patch.description.printable)\n")
        }
        let applicable = contents.applicable
        let coming = Set(applicable.map(\.id))
        for patch in contents.patches where !coming.contains(patch.id) {
            StandardError.write(
                "hotpatch: warning: the installed patch '\(patch.name)' is skipped, since one that "
                    + "it requires is\n")
        }
        return applicable.map(\.file).filter { patch in
            let base = patch.manifest.base
            return base.kind == .sharedObject || identity == nil || base.identity == identity
        }
    }

    func tellNothingIsFor(_ program: RunnableFile) {
        StandardError.write(
            "hotpatch: no installed patch is for '\(program.program.string.printableLine)' or what it loads; it runs "
                + "as it is\n")
    }

    /// Whether it matters what became of a patch: not where it is installed for
    /// something that the program does not consist of.
    func concern(_ report: StartReport) -> Bool {
        if named.contains(report.patch.digest) { return true }
        return switch report.outcome {
        case .failure(.baseNotMapped), .failure(.process(.foreignProgram)): false
        default: true
        }
    }
}
