import Addresses
import ELFImage
import LiveProcess
import Patchability
import SystemPackage

/// One ELF object that somebody wants to look into: a file, or what a process has
/// mapped.
public struct ExaminedObject: Sendable {
    /// Where it is mapped.
    public struct Mapping: Sendable {
        public let process: TargetProcess
        public let object: LoadedObject
    }

    public let image: ELFImage
    /// Its separate debug file, and those that look like one and are none.
    public let debugFiles: DebugFiles.Search
    /// nil for a file.
    public let mapping: Mapping?

    /// Opens the file at `path`.
    public init(path: FilePath) throws(ELFError) {
        image = try ELFImage.open(path: path)
        debugFiles = try DebugFiles.locate(for: image)
        mapping = nil
    }

    /// Opens the file behind an object that a process has mapped.
    public init(_ object: LoadedObject, of process: TargetProcess) throws(LiveProcessError) {
        image = try process.openImage(of: object)
        do throws(ELFError) {
            // The names of a process's files are those of its own root.
            debugFiles = try DebugFiles.locate(
                for: image, path: FilePath(object.path),
                root: FilePath("/proc/\(process.id)/root"))
        } catch {
            throw .image(process.id, error)
        }
        mapping = Mapping(process: process, object: object)
    }

    /// Judges all its functions.
    public func catalog() throws(CatalogError) -> FunctionCatalog {
        try FunctionCatalog(image, debugImage: debugFiles.found)
    }
}

extension ExaminedObject.Mapping {
    /// Where a link address is found in the process.
    public func address(_ address: LinkAddress) -> RemoteAddress { object.bias.remote(address) }

    /// The bytes at a link address as they are in the process now.
    public func bytes(at range: AddressRange<LinkAddress>) throws(LiveProcessError) -> [UInt8] {
        try process.read(address(range.start), count: Int(clamping: range.count))
    }
}

extension [LoadedObject] {
    /// The objects that people call `name`: by path, by file name, or by file name
    /// without its version (`libfoo.so` for `libfoo.so.1.2`).
    public func called(_ name: String) -> [LoadedObject] {
        let exact = filter { $0.path == name || FilePath($0.path).lastComponent?.string == name }
        if !exact.isEmpty { return exact }
        return filter { object in
            FilePath(object.path).lastComponent?.string.hasPrefix(name + ".") ?? false
        }
    }

    /// What the process was started from.
    public var program: LoadedObject? { first(where: \.isProgram) }
}
