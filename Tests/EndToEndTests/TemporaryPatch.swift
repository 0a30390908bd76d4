import ELFImage
import PatchFile
import SystemPackage
import TestSupport

/// A patch file with a manifest of the test's own, gone with this value.
struct TemporaryPatch {
    let path: FilePath
    private let directory: TemporaryDirectory

    /// - Parameter object: a patch's, whose manifest is left out.
    init(_ patch: FilePath, manifest: PatchManifest, name: String) throws {
        directory = try TemporaryDirectory()
        path = directory.path.appending(name + ".hpatch")
        let bare = directory.path.appending("object.o")
        let command = try Command.run(
            "objcopy", ["--remove-section", PatchFile.manifestSection, patch.string, bare.string])
        guard command.succeeded else { throw Errno.invalidArgument }
        var manifest = manifest
        manifest.name = name
        try path.write(
            PatchFile.make(object: bare.bytes(), manifest: manifest, name: name).bytes)
    }
}
