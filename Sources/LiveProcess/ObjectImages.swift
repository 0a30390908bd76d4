import ELFImage
import Glibc
import Synchronization
import SystemPackage

/// The opened files of objects, so that a file that many processes have loaded is
/// read once.
///
/// A file that was written to since is another file: its times tell.
public final class ObjectImages: Sendable {
    private struct Key: Hashable {
        let file: FileIdentity
        let size: Int
        /// Nanoseconds after 1970, of the contents and of the inode.
        let changes: [Int]
    }

    private let images = Mutex<[Key: ELFImage]>([:])

    public init() {}

    /// The object's file, exactly the one that is mapped.
    ///
    /// Throws `fileUnavailable`, or `image` where it is not a sound ELF object.
    public func image(
        of object: LoadedObject, in process: TargetProcess
    ) throws(LiveProcessError) -> ELFImage {
        let opened = try process.withFile(of: object) { descriptor -> Result<ELFImage, ELFError> in
            guard let key = Self.key(of: descriptor) else {
                return Self.open(descriptor, object)
            }
            if let known = images.withLock({ $0[key] }) { return .success(known) }
            let image = Self.open(descriptor, object)
            // Another thread may have opened it as well; either serves.
            if case .success(let image) = image { images.withLock { $0[key] = image } }
            return image
        }
        do {
            return try opened.get()
        } catch {
            throw .image(process.id, error)
        }
    }

    private static func open(
        _ descriptor: Int32, _ object: LoadedObject
    ) -> Result<ELFImage, ELFError> {
        do throws(ELFError) {
            return .success(try ELFImage.open(descriptor: descriptor, name: object.path))
        } catch {
            return .failure(error)
        }
    }

    private static func key(of descriptor: Int32) -> Key? {
        var facts = stat()
        guard unsafe fstat(descriptor, &facts) == 0 else { return nil }
        return Key(
            file: FileIdentity(device: UInt64(facts.st_dev), inode: UInt64(facts.st_ino)),
            size: facts.st_size,
            changes: [
                facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec, facts.st_ctim.tv_sec,
                facts.st_ctim.tv_nsec,
            ])
    }
}
