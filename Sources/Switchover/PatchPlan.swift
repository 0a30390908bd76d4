import Addresses
import ELFImage
import JSONText
import LiveProcess
import PatchFile
import PatchLinker

/// Everything about bringing one patch into one process that can be settled while
/// the process runs undisturbed.
struct PatchPlan {
    let process: TargetProcess
    let patch: PatchFile
    let base: BaseObject
    let payload: PayloadPlan
    let program: LoadedObject?
    /// A payload of the same patch that an earlier revert left in the process,
    /// and that is what linking would give now.
    let kept: Kept?

    struct Kept {
        let payload: LinkedPayload
        let state: PayloadState
    }

    /// What a process has loaded, as it was looked at before.
    struct Surroundings {
        let process: TargetProcess
        let map: MemoryMap
        let objects: [LoadedObject]
        /// ``SwitchOptions/lookupOrder``.
        let lookupOrder: [RemoteAddress]?
        let stack: PatchStack
        let images: ObjectImages
        let preparations: PatchPreparations

        /// The objects in the order in which the dynamic linker looks symbols up.
        func ordered() throws(LiveProcessError) -> [LoadedObject] {
            guard let lookupOrder else { return try process.symbolLookupOrder(of: objects) }
            return lookupOrder.compactMap { start in objects.first { $0.range.start == start } }
        }
    }

    /// Looks at the process and checks all that can be checked.
    ///
    /// - Parameter names: patches whose place is taken in the same switch.
    ///
    /// Throws `refused` with every reason that was found, or `process`.
    init(
        _ patch: PatchFile, in surroundings: Surroundings, replacing names: Set<String>
    ) throws(SwitchoverError) {
        let (process, stack) = (surroundings.process, surroundings.stack)
        base = try BaseObject.find(
            patch.manifest.base, among: surroundings.objects, of: process,
            surroundings.images)
        var reasons = Self.conflicts(
            of: patch.manifest, at: base, with: stack, replacing: names)
        reasons += Self.unsuitableMappings(of: patch.manifest, at: base, in: surroundings.map)
        if reasons.isEmpty {
            reasons += try Self.differences(
                of: patch.manifest, at: base, in: process, under: stack)
        }
        guard reasons.isEmpty else { throw .refused(reasons) }
        self.process = process
        self.patch = patch
        payload = try Self.bound(patch, to: base, in: surroundings)
        program = surroundings.objects.first(where: \.isProgram)
        kept = Self.kept(payload, in: stack, of: process)
    }

    /// The patch with each symbol that it refers to bound to this process.
    private static func bound(
        _ patch: PatchFile, to base: BaseObject, in surroundings: Surroundings
    ) throws(SwitchoverError) -> PayloadPlan {
        let process = surroundings.process
        let order = try process.looked { _ throws(LiveProcessError) in
            try surroundings.ordered()
        }
        var candidates: [SymbolResolver.Candidate] = []
        let runsOnce = patch.manifest.runsOnce
        if !patch.manifest.imports.isEmpty || !runsOnce.registries.isEmpty {
            for object in order {
                let image = try BaseObject.open(object, of: process, surroundings.images)
                candidates.append(.init(object: object, image: image))
            }
        }
        let resolver = SymbolResolver(
            process: process, base: .init(object: base.object, image: base.image),
            isProgram: base.object.isProgram, loaded: candidates)
        do throws(LinkError) {
            return try PayloadPlan(
                patch: patch, bindings: try resolver.resolve(patch.manifest),
                registries: try resolver.registries(patch.manifest),
                target: patchedObject(patch.manifest, base: base),
                preparations: surroundings.preparations)
        } catch {
            throw .refused([.link(code: error.code, message: error.description)])
        }
    }

    private static func patchedObject(
        _ manifest: PatchManifest, base: BaseObject
    ) -> PatchedObject {
        var entryCode: [LinkAddress: [UInt8]] = [:]
        var padding: [LinkAddress: [UInt8]] = [:]
        for function in manifest.functions {
            entryCode[function.site] = base.code(
                from: function.site, atMost: PatchedObject.entryLength)
            if let island = function.island {
                padding[island] = base.code(from: island, atMost: 5)
            }
        }
        return PatchedObject(
            path: base.object.path, bias: base.object.bias, range: base.object.range,
            entryCode: entryCode, padding: padding)
    }

    /// The payload that is there already and not in use, where it is byte for byte
    /// what would be mapped now.
    private static func kept(
        _ payload: PayloadPlan, in stack: PatchStack, of process: TargetProcess
    ) -> Kept? {
        for (number, present) in stack.payloads.enumerated() where !stack.isInUse(number) {
            let extent = present.record.extent
            guard present.record.digest == payload.digest, extent.range?.count == payload.size
            else { continue }
            // It may be out of reach by now, where the object was loaded anew.
            guard let linked = try? payload.link(at: extent.start) else { continue }
            let constant = linked.constantPart
            if let bytes = try? process.read(extent.start, count: constant.count),
                constant.elementsEqual(bytes)
            {
                return Kept(payload: linked, state: present.state)
            }
        }
        return nil
    }
}

extension BaseObject {
    /// The file's bytes from `address` on, up to the end of the segment.
    func code(from address: LinkAddress, atMost count: UInt64) -> [UInt8] {
        for length in stride(from: count, to: 0, by: -1) {
            if let range = AddressRange(start: address, count: length),
                let bytes = try? image.bytes(at: range)
            {
                return bytes.array()
            }
        }
        return []
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
