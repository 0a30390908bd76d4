import Glibc
import JSONText
import PatchFile
import SystemPackage

/// The patches that are to be applied wherever their bases run, on disk.
///
/// `series.json` says which they are and in which order; a patch file has its digest
/// in its name, so that it is written before the list names it and removed after.
/// Replacing the list is the one moment at which the store changes, so reading takes
/// no lock.
public struct PatchStore: Sendable {
    public let locations: Locations
    let trust: Trust

    /// Opens the store for reading. Where there is none yet, it is an empty one.
    ///
    /// Throws `untrusted` where somebody else could change what lies there.
    public init(opening locations: Locations) throws(StoreError) {
        self.locations = locations
        trust = Trust(locations)
        if try trust.check(directory: locations.state) {
            _ = try trust.check(directory: locations.patches)
        }
    }

    /// What is installed now. A patch that cannot be used is among the damaged ones.
    public func read() throws(StoreError) -> StoreContents {
        var list = try self.list()
        while true {
            let contents = contents(of: list)
            if contents.damaged.isEmpty { return contents }
            // Its file may have been removed since it was listed.
            let later = try self.list()
            if later == list { return contents }
            list = later
        }
    }

    /// The list as it stands; empty where there is none.
    func list() throws(StoreError) -> SeriesList {
        let path = locations.series
        let bytes: [UInt8]
        do throws(DamagedPatch.Reason) {
            bytes = try self.bytes(of: path)
        } catch .missing {
            return SeriesList()
        } catch .untrusted(let defect) {
            throw .untrusted(path, defect)
        } catch .unreadable(.system(_, let action, let errno)) {
            throw .system(path, action: action, errno)
        } catch {
            throw .damagedSeries(path, reason: "\(error)")
        }
        do throws(JSONError) {
            return try SeriesList(parsing: bytes)
        } catch {
            throw .damagedSeries(path, reason: "\(error)")
        }
    }

    /// The bytes of a file of the store that nobody else can change.
    private func bytes(of path: FilePath) throws(DamagedPatch.Reason) -> [UInt8] {
        let file: OpenFile
        do throws(Errno) {
            file = try OpenFile(path, O_RDONLY | O_NONBLOCK)
        } catch .noSuchFileOrDirectory {
            throw .missing
        } catch .tooManySymbolicLinkLevels {
            throw .untrusted(.symbolicLink)
        } catch {
            throw .unreadable(.system(name: path.string, action: "open", errno: error))
        }
        do throws(TrustDefect) { try trust.check(file: file.rawValue) } catch {
            throw .untrusted(error)
        }
        do throws(PatchFileError) {
            return try PatchFile.contents(of: file.descriptor, name: path.string)
        } catch {
            throw .unreadable(error)
        }
    }

    private func contents(of list: SeriesList) -> StoreContents {
        var patches: [InstalledPatch] = []
        var damaged: [DamagedPatch] = []
        for entry in list.entries {
            do throws(DamagedPatch.Reason) {
                patches.append(InstalledPatch(entry: entry, file: try file(of: entry)))
            } catch {
                damaged.append(
                    DamagedPatch(entry: entry, path: path(of: entry.id), reason: error))
            }
        }
        return StoreContents(
            revision: list.revision, entries: list.entries, patches: patches, damaged: damaged,
            withdrawn: list.withdrawn)
    }

    private func file(of entry: SeriesEntry) throws(DamagedPatch.Reason) -> PatchFile {
        let path = path(of: entry.id)
        let bytes = try self.bytes(of: path)
        let patch: PatchFile
        do throws(PatchFileError) {
            patch = try PatchFile(bytes: bytes, name: path.string)
        } catch {
            throw .unreadable(error)
        }
        guard PatchID(patch) == entry.id else { throw .otherFile(PatchID(patch)) }
        guard patch.manifest.base.identity == entry.base else {
            throw .otherBase(patch.manifest.base.identity)
        }
        return patch
    }

    func path(of id: PatchID) -> FilePath {
        locations.patches.appending("\(id.name)-\(id.digest).hpatch")
    }
}
