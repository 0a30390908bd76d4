import ELFImage
import LiveProcess
import PatchFile
import PatchLinker
import PatchStore
import Startup
import Switchover
import SystemPackage
import Threads

/// Brings what runs already to what is installed.
struct RunningPrograms: Sendable {
    let bases: InstalledBases
    /// The guardian process: it must be able to do its work at every moment.
    let exempt: ProcessID
    /// How long it is tried in one go while threads are busy; it is tried again later.
    private static let patience = Duration.milliseconds(200)

    /// An object of an installed base that a process has loaded.
    struct Sighting {
        let path: String
        let isDeleted: Bool
        let process: TargetProcess
        let object: LoadedObject
    }

    /// What processes have loaded of the installed bases.
    func sightings() throws(Errno) -> [Sighting] {
        var found: [Sighting] = []
        _ = try ProcessSearch.matching { process throws(LiveProcessError) in
            for object in try process.loadedObjects() where series(of: object) != nil {
                found.append(
                    Sighting(
                        path: object.path, isDeleted: object.isDeleted, process: process,
                        object: object))
            }
            return false
        }
        return found
    }

    /// Brings every process to what is installed.
    func follow(_ contents: StoreContents) throws(Errno) -> [ProcessOutcome] {
        follow(contents, in: try Switchover.processes(concernedBy: contents).found)
    }

    /// Brings these processes to what is installed. One that is gone, or has nothing
    /// loaded that a patch is for, is not among the outcomes.
    func follow(_ contents: StoreContents, in processes: [ProcessID]) -> [ProcessOutcome] {
        var options = SwitchOptions(timeout: Self.patience)
        options.images = ObjectImages()
        let shared = options
        return WorkerThreads.map(processes.filter { $0 != exempt }) { id in
            do throws(LiveProcessError) {
                let process = try Self.find(id)
                let patches = try patches(for: process)
                return try outcome(of: process, patches, contents, shared)
            } catch {
                // It has ended.
                return nil
            }
        }.compactMap(\.self)
    }

    /// The process, also where the number is that of another thread than the first.
    private static func find(_ id: ProcessID) throws(LiveProcessError) -> TargetProcess {
        do throws(LiveProcessError) {
            return try TargetProcess.find(id)
        } catch .threadOfProcess(_, let process) {
            return try TargetProcess.find(process)
        }
    }

    /// The installed patches that are for something that the process has loaded.
    private func patches(for process: TargetProcess) throws(LiveProcessError) -> [PatchFile] {
        try process.loadedObjects().flatMap { series(of: $0)?.patches ?? [] }
    }

    private func outcome(
        of process: TargetProcess, _ patches: [PatchFile], _ contents: StoreContents,
        _ options: SwitchOptions
    ) throws(LiveProcessError) -> ProcessOutcome? {
        let outcomes: [PatchOutcome]
        do throws(SwitchoverError) {
            outcomes = try Switchover.follow(contents, in: process, options: options)
                .map(PatchOutcome.init)
        } catch {
            if patches.isEmpty { return nil }
            outcomes = patches.map { PatchOutcome($0, .failure(.switchover(error))) }
        }
        if process.isGone || (patches.isEmpty && outcomes.isEmpty) { return nil }
        return ProcessOutcome(
            process: process.id, startTime: process.startTime,
            executable: try process.executablePath().path, occasion: .running,
            outcomes: outcomes)
    }

    /// By the build id in memory. A base without one is known by its file's contents,
    /// which the switch compares; here the name has to do.
    private func series(of object: LoadedObject) -> InstalledBases.Series? {
        if let id = object.buildID { return bases[.buildID(id.bytes)] }
        let name = FilePath(object.path).lastComponent?.string ?? ""
        return bases.withoutBuildID(called: name)
    }
}
