import CELF
import ELFImage
import Glibc
import JSONText
import SystemPackage

extension PatchFile {
    /// Joins the relocatable object `object` and `manifest` to a patch, verified
    /// as one that is read. Equal arguments give equal bytes.
    public static func make(
        object: [UInt8], manifest: PatchManifest, name: String
    ) throws(PatchFileError) -> (bytes: [UInt8], patch: PatchFile) {
        let text = Array((manifest.json.text(pretty: true) + "\n").utf8)
        let bytes = try withManifest(text, in: object, name: name)
        return (bytes, try PatchFile(bytes: bytes, name: name))
    }

    /// Refuses to replace what is at `path`, unless it is a patch, whatever it
    /// says, or an empty file. Nothing that is not a regular file is opened: that
    /// alone can have an effect on a device.
    public static func checkOutput(_ path: FilePath) throws(PatchFileError) {
        let name = path.string
        var status = stat()
        guard unsafe lstat(name, &status) == 0 else {
            let failure = Errno(rawValue: errno)
            // Nothing is there, or nothing can be: creating the file tells why.
            if [.noSuchFileOrDirectory, .notDirectory].contains(failure) { return }
            throw PatchFileError.system(name: name, action: "look at", errno: failure)
        }
        guard unsafe stat(name, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw PatchFileError.outputTaken(name: name, .notARegularFile)
        }
        guard status.st_size > 0 else { return }
        let image: ELFImage
        do throws(ELFError) {
            image = try ELFImage.open(path: path)
        } catch {
            throw PatchFileError.outputTaken(name: name, .notAPatch)
        }
        guard image.section(named: manifestSection) != nil else {
            throw PatchFileError.outputTaken(name: name, .notAPatch)
        }
    }

    /// Writes `bytes` beside `path` and renames the result, so that `path` is at
    /// every moment either what it was or complete. Nothing is left on failure,
    /// and nothing replaced that ``checkOutput(_:)`` refuses.
    public static func write(_ bytes: [UInt8], to path: FilePath) throws(PatchFileError) {
        let name = path.string
        guard let last = path.lastComponent else {
            throw PatchFileError.system(name: name, action: "write", errno: .isDirectory)
        }
        let aside = path.removingLastComponent().appending(".\(last.string).\(getpid()).part")
        let file = try orThrow(name, "create") {
            try FileDescriptor.open(
                aside, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupReadWrite, .otherReadWrite])
        }
        do throws(PatchFileError) {
            try closing(file, name) { () throws(PatchFileError) in
                try orThrow(name, "write") { _ = try file.writeAll(bytes) }
                guard fsync(file.rawValue) == 0 else {
                    throw PatchFileError.system(
                        name: name, action: "write", errno: Errno(rawValue: errno))
                }
            }
            try checkOutput(path)
            guard unsafe rename(aside.string, name) == 0 else {
                throw PatchFileError.system(
                    name: name, action: "replace", errno: Errno(rawValue: errno))
            }
        } catch {
            unsafe unlink(aside.string)
            throw error
        }
    }

    /// A copy of `object` with `text` as its manifest, whatever it says.
    static func withManifest(
        _ text: [UInt8], in object: [UInt8], name: String
    ) throws(PatchFileError) -> [UInt8] {
        var result: UnsafeMutableRawPointer?
        var size = 0
        let status = unsafe object.withUnsafeBytes { object in
            unsafe text.withUnsafeBytes { text in
                // Both have bytes: an empty object is no ELF, and the text ends
                // with a line end.
                guard let start = object.baseAddress, let content = text.baseAddress else {
                    return EINVAL
                }
                return unsafe celf_with_section(
                    start, object.count, manifestSection, content, text.count, &result, &size)
            }
        }
        guard status == 0, let result = unsafe result else {
            let message =
                unsafe status < 0
                ? String(cString: celf_message()) : "\(Errno(rawValue: status))"
            throw PatchFileError.notWritable(name: name, message: message)
        }
        defer { unsafe free(result) }
        return unsafe Array(UnsafeRawBufferPointer(start: result, count: size))
    }
}
