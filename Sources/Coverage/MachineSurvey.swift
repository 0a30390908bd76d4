import Addresses
import LiveProcess
import PatchFile
import PatchLinker
import PatchStore
import Switchover
import SystemPackage
import Watching

/// Tells what is applied in the processes of this machine, beside what should be.
public struct MachineSurvey: Sendable {
    /// A process that has a patch, or should have one.
    public struct Process: Sendable {
        public let id: ProcessID
        public let name: String
        public let patches: [PatchCoverage]
    }

    private let store: StoreContents
    private let service: WatchRecord?
    /// A file that many processes have loaded is read once.
    private let images = ObjectImages()

    /// - Parameters:
    ///   - store: the patches that are to be applied.
    ///   - service: what the service that runs has noted.
    public init(store: StoreContents, service: WatchRecord?) {
        self.store = store
        self.service = service
    }

    /// Looks at every process, without touching any; by their numbers. `notPermitted`
    /// are those that could not be looked at for want of permission.
    ///
    /// Throws what reading /proc gives.
    public func allProcesses() throws(Errno) -> (found: [Process], notPermitted: [ProcessID]) {
        var found: [Process] = []
        let search = try ProcessSearch.matching { target throws(LiveProcessError) in
            let process = try self.process(target)
            if process.patches.isEmpty { return false }
            found.append(process)
            return true
        }
        return (found, search.notPermitted)
    }

    /// Looks at one process. Throws what keeps it from being looked at.
    public func process(_ process: TargetProcess) throws(LiveProcessError) -> Process {
        Process(id: process.id, name: process.name, patches: try coverage(of: process))
    }

    private var manifests: [PatchManifest] { store.patches.map(\.file.manifest) }

    /// The patches that the process has, then those that it lacks.
    private func coverage(of process: TargetProcess) throws(LiveProcessError) -> [PatchCoverage] {
        let objects = try process.loadedObjects()
        let present = try status(of: process)
        var patches = present.map { patch in
            coverage(of: patch, among: objects, of: process)
        }
        for patch in store.patches {
            let isIn = present.contains {
                $0.record.digest == patch.digest && $0.state.isSwitchedIn
            }
            if isIn { continue }
            if let missing = try missing(patch, among: objects, of: process) {
                // A payload that is not switched in says nothing more then.
                patches.removeAll { $0.digest == patch.digest }
                patches.append(missing)
            }
        }
        return patches
    }

    private func status(of process: TargetProcess) throws(LiveProcessError) -> [AppliedPatch] {
        do throws(SwitchoverError) {
            return try Switchover.status(of: process)
        } catch .process(let error) {
            throw error
        } catch {
            // Nothing else keeps a process from being looked at.
            return []
        }
    }

    private func coverage(
        of patch: AppliedPatch, among objects: [LoadedObject], of process: TargetProcess
    ) -> PatchCoverage {
        let record = patch.record
        let installed = store.patches.first { $0.digest == record.digest }
        let object = objects.first { object in
            record.detours.contains { object.range.contains($0.site) }
        }
        var coverage = PatchCoverage(
            name: record.name, version: record.version, digest: record.digest,
            object: record.object, base: record.base, state: .present(patch.state))
        coverage.isInstalled = installed != nil
        coverage.isWithdrawn = store.withdrawn.contains { $0.id.digest == record.digest }
        coverage.applied = patch
        guard patch.state.isSwitchedIn else { return coverage }
        coverage.caughtUpAt =
            service?.caughtUp.last {
                $0.process == process.id.rawValue && $0.startTime == process.startTime
                    && $0.patch == record.name
            }?.at
        coverage.afterRestart = object.flatMap {
            afterRestart(installed?.file.manifest, record, $0, of: process)
        }
        return coverage
    }

    /// nil where the process runs neither the patch's base nor another build of it.
    private func missing(
        _ patch: InstalledPatch, among objects: [LoadedObject], of process: TargetProcess
    ) throws(LiveProcessError) -> PatchCoverage? {
        let manifest = patch.file.manifest
        var object: LoadedObject?
        var reason = reason(for: patch.name, of: process)
        do throws(SwitchoverError) {
            object = try manifest.base.object(among: objects, of: process, images)
        } catch .process(let error) {
            throw error
        } catch .refused(let reasons) {
            switch reasons.first {
            case .baseLoadedTwice: reason = .baseLoadedTwice
            case .baseNotLoaded(_, let found):
                guard let build = uncovered(among: found, by: patch) else { return nil }
                reason = .otherBuild(build)
            default: return nil
            }
        } catch {
            return nil
        }
        var coverage = PatchCoverage(
            name: manifest.name, version: manifest.version, digest: patch.digest,
            object: object?.path ?? manifest.base.fileName,
            base: manifest.base.identity.description, state: .missing(reason))
        coverage.isInstalled = true
        coverage.afterRestart = object.flatMap { afterRestart(manifest, nil, $0, of: process) }
        return coverage
    }

    /// The build that was loaded from where the patch's base was found, if it neither
    /// contains the fix nor has a patch of its own for it.
    private func uncovered(
        among found: [SwitchRefusal.FoundObject], by patch: InstalledPatch
    ) -> String? {
        found.first { object in
            guard patch.paths.contains(FilePath(object.path)) else { return false }
            let build = BaseIdentity(object.identity)
            return build.map {
                AfterRestart(of: patch.file.manifest, to: $0, installed: manifests).losesFix
            } ?? true
        }?.identity
    }

    private func reason(
        for patch: String, of process: TargetProcess
    ) -> PatchCoverage.Reason {
        if let tracer = (try? process.facts())?.tracer { return .traced(by: tracer) }
        let refusal = service?.refusals.last {
            $0.process == process.id.rawValue && $0.startTime == process.startTime
                && $0.patch == patch
        }
        return refusal.map { .refused(code: $0.code, message: $0.message) } ?? .notTried
    }

    /// nil where the file is the one that is mapped, or another copy of its build.
    private func afterRestart(
        _ manifest: PatchManifest?, _ record: PayloadRecord?, _ object: LoadedObject,
        of process: TargetProcess
    ) -> AfterRestart? {
        let identity: BaseIdentity
        do throws(LiveProcessError) {
            guard let image = try process.successor(of: object) else { return nil }
            guard let found = try? BaseIdentity(of: image) else {
                return .unknown("\(object.path) cannot be read")
            }
            identity = found
        } catch {
            return .unknown(error.description)
        }
        if identity.description == manifest?.base.identity.description ?? record?.base {
            return nil
        }
        guard let manifest else { return .unfixed(build: identity.description) }
        return AfterRestart(of: manifest, to: identity, installed: manifests)
    }
}
