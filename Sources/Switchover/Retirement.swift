import ELFImage
import Glibc
import LiveProcess
import PatchFile
import PatchStore
import SystemPackage

extension Switchover {
    /// The installed patches of which nobody has any use: no process runs their base,
    /// and where its file was lies a build that contains the fix. Whoever keeps the
    /// store uninstalls them.
    ///
    /// Processes that may not be looked at may run anything, so for who is not root no
    /// patch is retired. What even root may not look at could not be patched either.
    public static func retired(among contents: StoreContents) throws(Errno) -> [InstalledPatch] {
        let sound = contents.patches
        let candidates = Series.obsolete(
            among: sound.map { SeriesItem($0.file) },
            onDisk: { item in
                let patch = sound.first { $0.id == item.id && $0.base == item.base }
                return buildsOnDisk(at: patch?.paths ?? [])
            })
        // Most often there are none, and the processes need not be looked at.
        var idle: Set<BaseIdentity> = []
        for base in Set(candidates.map(\.base)) {
            let search = try processes(concernedBy: contents.limited(to: [base]))
            let isAllSeen = search.notPermitted.isEmpty || geteuid() == 0
            if search.found.isEmpty && isAllSeen { idle.insert(base) }
        }
        return sound.filter { patch in
            idle.contains(patch.base)
                && candidates.contains { $0.id == patch.id && $0.base == patch.base }
        }
    }

    private static func buildsOnDisk(at paths: [FilePath]) -> Set<BaseIdentity> {
        Set(
            paths.compactMap { path in
                do throws(ELFError) {
                    return try BaseIdentity(of: ELFImage.open(path: path))
                } catch {
                    // Nothing is there any more, or no program.
                    return nil
                }
            })
    }
}
