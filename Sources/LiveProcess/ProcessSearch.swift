import ELFImage
import Glibc
import SystemPackage

/// Processes found in /proc by what they run.
public struct ProcessSearch: Sendable {
    /// In ascending order of their numbers.
    public private(set) var found: [ProcessID] = []
    /// Those that could not be looked at for want of permission.
    public private(set) var notPermitted: [ProcessID] = []

    /// The processes that run the program `path`: the same file whatever it is
    /// called there, or the file that had this name when they started and was
    /// replaced or removed since.
    public static func running(_ path: FilePath) throws(Errno) -> ProcessSearch {
        // Removed without a successor, its name still finds who runs it.
        let wanted = identity(of: path)
        let canonical = wanted == nil ? formerPath(path) : try canonicalPath(path)
        return try matching { process throws(LiveProcessError) in
            let (name, isDeleted) = try process.executablePath()
            if isDeleted { return name == canonical }
            guard let wanted else { return false }
            do throws(Errno) {
                let program = try Descriptor.open("exe", in: process.memberFolder.rawValue)
                return try program.identity() == wanted
            } catch {
                throw process.failure(error, "open the program of")
            }
        }
    }

    /// The processes that have code of the object with this build id mapped.
    public static func mapping(_ buildID: BuildID) throws(Errno) -> ProcessSearch {
        try matching { process throws(LiveProcessError) in
            try process.loadedObjects().contains { $0.buildID == buildID }
        }
    }

    /// All processes but this one that `matches` says yes to.
    public static func matching(
        _ matches: (TargetProcess) throws(LiveProcessError) -> Bool
    ) throws(Errno) -> ProcessSearch {
        var result = ProcessSearch()
        for id in try allProcesses() where id.rawValue != getpid() {
            do throws(LiveProcessError) {
                if try matches(try TargetProcess.find(id)) { result.found.append(id) }
            } catch .notPermitted {
                result.notPermitted.append(id)
            } catch {
                // It ended meanwhile, or it is a kernel thread: it runs nothing.
                continue
            }
        }
        return result
    }

    /// The numbers of all processes, ascending.
    package static func allProcesses() throws(Errno) -> [ProcessID] {
        var folder = try NumberedFolder(opening: "/proc")
        return try folder.read().map(ProcessID.init(rawValue:)).sorted()
    }

    /// Not opened for that: a pipe would hold the search up, and who may run a
    /// program need not be able to read it.
    private static func identity(of path: FilePath) -> FileIdentity? {
        var facts = stat()
        guard unsafe stat(path.string, &facts) == 0 else { return nil }
        return FileIdentity(device: UInt64(facts.st_dev), inode: UInt64(facts.st_ino))
    }

    /// What the kernel calls a file that is gone, as long as its directory is there.
    private static func formerPath(_ path: FilePath) -> String {
        guard let name = path.lastComponent else { return path.string }
        let directory = path.removingLastComponent()
        let place = try? canonicalPath(directory.isEmpty ? "." : directory)
        return place.map { FilePath($0).appending(name).string } ?? path.string
    }

    private static func canonicalPath(_ path: FilePath) throws(Errno) -> String {
        guard let text = unsafe realpath(path.string, nil) else { throw Errno(rawValue: errno) }
        defer { unsafe free(text) }
        return unsafe String(cString: text)
    }
}
