import Addresses
import ELFImage
import JSONText
import LiveProcess
import PatchFile
import PatchLinker
import Quiescence

/// Everything about applying one patch to one process that can be settled while
/// the process runs undisturbed.
struct ApplyPlan {
    let process: TargetProcess
    let patch: PatchFile
    let base: BaseObject
    let payload: PayloadPlan
    let target: PatchedObject
    let program: LoadedObject?
    /// A payload of the same patch that an earlier revert left in the process,
    /// and that is what linking would give now.
    let kept: LinkedPayload?
    let guarded: GuardedCode

    enum Verdict {
        case alreadyApplied(AppliedPatch)
        case possible(ApplyPlan)
    }

    /// Looks at the process and checks all that can be checked.
    ///
    /// Throws `refused` with every reason that was found, or `process`.
    static func make(
        _ patch: PatchFile, for process: TargetProcess, options: SwitchOptions
    ) throws(SwitchoverError) -> Verdict {
        let map = try process.looked { p throws(LiveProcessError) in try p.memoryMap() }
        let objects = try process.looked { p throws(LiveProcessError) in
            try p.loadedObjects(in: map)
        }
        let base = try BaseObject.find(patch.manifest.base, among: objects, of: process)
        let applied = try process.looked { p throws(LiveProcessError) in
            try p.appliedPatches(in: map)
        }
        let digest = Hexadecimal.text(patch.digest)
        if let same = applied.first(where: { $0.record.digest == digest && $0.state == .applied }) {
            return .alreadyApplied(same)
        }
        var reasons = conflicts(of: patch.manifest, at: base, with: applied)
        reasons += patch.manifest.functions.filter { $0.island != nil }
            .map { .needsIsland(symbol: $0.symbol) }
        reasons += unsuitableMappings(of: patch.manifest, at: base, in: map)
        if reasons.isEmpty { reasons += try differences(of: patch.manifest, at: base, in: process) }
        guard reasons.isEmpty else { throw .refused(reasons) }
        return .possible(
            try linked(
                patch, base: base, objects: objects, applied: applied, process: process,
                options: options))
    }

    private static func linked(
        _ patch: PatchFile, base: BaseObject, objects: [LoadedObject], applied: [AppliedPatch],
        process: TargetProcess, options: SwitchOptions
    ) throws(SwitchoverError) -> ApplyPlan {
        let target = try patchedObject(patch.manifest, base: base, process: process)
        let order = try process.looked { p throws(LiveProcessError) in
            try p.symbolLookupOrder(of: objects)
        }
        var candidates: [SymbolResolver.Candidate] = []
        if !patch.manifest.imports.isEmpty {
            for object in order {
                candidates.append(
                    .init(object: object, image: try BaseObject.open(object, of: process)))
            }
        }
        let resolver = SymbolResolver(
            process: process, base: .init(object: base.object, image: base.image),
            isProgram: base.object.isProgram, loaded: candidates)
        do throws(LinkError) {
            let payload = try PayloadPlan(
                patch: patch, bindings: try resolver.resolve(patch.manifest), target: target)
            return ApplyPlan(
                process: process, patch: patch, base: base, payload: payload, target: target,
                program: objects.first(where: \.isProgram),
                kept: kept(payload, among: applied, in: process),
                guarded: guardedCode(
                    patch.manifest, at: base, allowsActive: options.allowsActiveOriginals))
        } catch {
            throw .refused([.link(code: error.code, message: error.description)])
        }
    }

    /// The payload that is there already, where it is byte for byte what would
    /// be mapped now.
    private static func kept(
        _ payload: PayloadPlan, among applied: [AppliedPatch], in process: TargetProcess
    ) -> LinkedPayload? {
        for patch in applied where !patch.state.isSwitchedIn {
            let extent = patch.record.extent
            guard patch.record.digest == payload.digest, extent.range?.count == payload.size else {
                continue
            }
            // It may be out of reach by now, where the object was loaded anew.
            guard let linked = try? payload.link(at: extent.start),
                let data = extent.writableRange?.start
            else { continue }
            let constant = linked.constantPart
            if let bytes = try? process.read(extent.start, count: constant.count),
                constant.elementsEqual(bytes),
                let state = try? process.read(data, count: PayloadState.size),
                PayloadState.isComplete(state)
            {
                return linked
            }
        }
        return nil
    }

    private static func patchedObject(
        _ manifest: PatchManifest, base: BaseObject, process: TargetProcess
    ) throws(SwitchoverError) -> PatchedObject {
        var siteBytes: [LinkAddress: [UInt8]] = [:]
        for function in manifest.functions {
            guard let site = AddressRange(start: function.site, count: 5) else { continue }
            siteBytes[function.site] = try base.read(site, of: process)
        }
        return PatchedObject(
            path: base.object.path, bias: base.object.bias, range: base.object.range,
            siteBytes: siteBytes)
    }
}

extension TargetProcess {
    /// Calls `body` and reports its error as one of a switchover.
    func looked<Result>(
        _ body: (TargetProcess) throws(LiveProcessError) -> Result
    ) throws(SwitchoverError) -> Result {
        do {
            return try body(self)
        } catch {
            throw .process(error)
        }
    }
}
