import CELF
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

    /// Writes `bytes` beside `path` and renames the result, so that `path` is at
    /// every moment either what it was or complete. Nothing is left on failure.
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
