import ELFImage
import Glibc
import LiveProcess
import PatchFile
import Synchronization

/// Which build a file is, remembered for files that have not changed.
///
/// What decides is the build, never device and inode: overlay file systems name
/// different ones for the same file.
final class FileIdentities: Sendable {
    private struct Key: Hashable {
        let file: FileIdentity
        let size: Int
        /// Of the contents and of the inode: seconds and nanoseconds.
        let changes: [Int]
    }

    private let known = Mutex<[Key: BaseIdentity?]>([:])

    /// The build of the open file; nil where it is no ELF object.
    func identity(of descriptor: Int32) -> BaseIdentity? {
        var facts = stat()
        guard unsafe fstat(descriptor, &facts) == 0 else { return nil }
        let key = Key(
            file: FileIdentity(facts),
            size: facts.st_size,
            changes: [
                facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec, facts.st_ctim.tv_sec,
                facts.st_ctim.tv_nsec,
            ])
        if let identity = known.withLock({ $0[key] }) { return identity }
        let identity = Self.read(descriptor)
        known.withLock { known in
            // Files come and go; what is asked for again is read again.
            if known.count >= 10_000 { known.removeAll() }
            known[key] = .some(identity)
        }
        return identity
    }

    private static func read(_ descriptor: Int32) -> BaseIdentity? {
        do throws(ELFError) {
            return try BaseIdentity(
                of: try ELFImage.open(descriptor: descriptor, name: "a file that is opened"))
        } catch {
            // No build that a patch could have been made for.
            return nil
        }
    }
}
