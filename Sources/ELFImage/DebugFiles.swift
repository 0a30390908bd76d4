import Addresses
import Glibc
import SystemPackage

/// Finds the separate debug file of a stripped object.
public enum DebugFiles {
    /// What a search came to.
    public struct Search: Sendable {
        /// The debug file that belongs to the object.
        public var found: ELFImage?
        /// Files that are in the right place and do not belong to it.
        public var rejected: [Rejection] = []
    }

    /// Why a file in the right place was not taken.
    public struct Rejection: Sendable, CustomStringConvertible {
        public let path: String
        public let reason: Reason

        public enum Reason: Sendable, Equatable {
            case unreadable(ELFError)
            case otherBuild(BuildID)
            case otherChecksum(found: UInt32, wanted: UInt32)
        }

        public var description: String {
            switch reason {
            case .unreadable(let error):
                return "\(error)"
            case .otherBuild(let id):
                return "'\(path)' belongs to another build, \(id)"
            case .otherChecksum(let found, let wanted):
                return "'\(path)' has the CRC \(String(found, radix: 16)), not "
                    + "\(String(wanted, radix: 16)) as .gnu_debuglink asks"
            }
        }
    }

    /// Looks where GDB looks: by build id under /usr/lib/debug/.build-id, then by
    /// debug link beside the object, in .debug beside it, and under
    /// /usr/lib/debug. `root` stands before every path that is looked at: the
    /// root of a target in a mount namespace of its own.
    ///
    /// - Parameter path: where the object is, seen from `root`; its name unless given.
    public static func locate(
        for image: ELFImage, path: FilePath? = nil, root: FilePath = "/"
    ) throws(ELFError) -> Search {
        var search = Search()
        if let id = image.buildID, let place = buildIDPath(id) {
            consider(root.appending(place.components), image, link: nil, &search)
        }
        guard search.found == nil, let link = try image.debugLink(),
            let directory = directory(of: path ?? FilePath(image.name))
        else { return search }
        let debug: FilePath = "usr/lib/debug"
        for place in [
            directory.appending(link.fileName),
            directory.appending(".debug").appending(link.fileName),
            debug.appending(directory.components).appending(link.fileName),
        ] where search.found == nil {
            consider(root.appending(place.components), image, link: link, &search)
        }
        return search
    }

    private static func buildIDPath(_ id: BuildID) -> FilePath? {
        let digits = id.description
        guard digits.count > 2 else { return nil }
        return FilePath("usr/lib/debug/.build-id")
            .appending(String(digits.prefix(2)))
            .appending(String(digits.dropFirst(2)) + ".debug")
    }

    /// The absolute directory of `path`, links resolved where it exists.
    private static func directory(of path: FilePath) -> FilePath? {
        let resolved: FilePath? = unsafe path.withPlatformString { platform in
            guard let text = unsafe realpath(platform, nil) else { return nil }
            defer { unsafe free(text) }
            return unsafe FilePath(platformString: text)
        }
        let whole = resolved ?? path
        return whole.isAbsolute ? whole.removingLastComponent() : nil
    }

    private static func consider(
        _ path: FilePath, _ image: ELFImage, link: DebugLink?, _ search: inout Search
    ) {
        do throws(ELFError) {
            let candidate = try ELFImage.open(path: path)
            if let reason = try mismatch(candidate, image, link) {
                search.rejected.append(Rejection(path: path.string, reason: reason))
            } else {
                search.found = candidate
            }
        } catch .system(_, _, .noSuchFileOrDirectory), .system(_, _, .notDirectory) {
            // Nothing there: the usual case, and not worth a word.
            return
        } catch {
            search.rejected.append(Rejection(path: path.string, reason: .unreadable(error)))
        }
    }

    /// A build id says more than a checksum, and costs no reading of the whole file.
    private static func mismatch(
        _ candidate: ELFImage, _ image: ELFImage, _ link: DebugLink?
    ) throws(ELFError) -> Rejection.Reason? {
        if let found = candidate.buildID, let wanted = image.buildID {
            return found == wanted ? nil : .otherBuild(found)
        }
        guard let link else { return nil }
        let found = try candidate.checksum()
        return found == link.checksum
            ? nil : .otherChecksum(found: found, wanted: link.checksum)
    }
}

extension ELFImage {
    /// The CRC-32 of the whole file.
    func checksum() throws(ELFError) -> UInt32 {
        var crc = CRC32()
        var position: UInt64 = 0
        while position < fileSize {
            let count = min(fileSize - position, 1 << 20)
            crc.update(
                try source.read("a part", at: FileOffset(rawValue: position), count: count))
            position += count
        }
        return crc.value
    }
}
