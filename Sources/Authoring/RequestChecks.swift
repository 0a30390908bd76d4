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
    }

    /// The result is renamed to the output's name, so nothing may be there that
    /// somebody could miss.
    private func checkOutput() throws(AuthoringError) {
        if let output = FileIdentity(request.output) {
            if FileIdentity(request.base) == output {
                throw AuthoringError.outputIsInput(
                    output: request.output.string, role: "the base")
            }
            if request.sources.contains(where: { FileIdentity($0) == output }) {
                throw AuthoringError.outputIsInput(
                    output: request.output.string, role: "a source of the fix")
            }
        }
        do throws(PatchFileError) {
            try PatchFile.checkOutput(request.output)
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
