import Addresses
import ELFImage
import LiveProcess
import PatchFile
import PatchStore
import Switchover

/// One process that is led through its start, or through the loading of a library,
/// and the patches that wait for what they need to be mapped.
struct StartSession {
    private let thread: HeldThread
    private let process: TargetProcess
    private var options: SwitchOptions
    private let patches: [PatchFile]
    private let deadline: ContinuousClock.Instant
    /// By the number of the patch.
    private var outcomes: [Int: Result<SwitchReport, StartFailure>] = [:]
    /// Those that are still to be put in, in their order.
    private var pending: [Int]

    /// Where AT_BASE says that the dynamic linker is; nil without one.
    private let linker: RemoteAddress?
    /// Where everything that is mapped starts.
    private var known: Set<RemoteAddress> = []
    /// What symbols are looked up in, in that order: what was mapped later comes later.
    private var objects: [LoadedObject] = []
    /// Those that patches may be for.
    private var candidates: [Candidate] = []

    /// What a patch may be for.
    private struct Candidate {
        let object: LoadedObject
        let identity: BaseIdentity?
    }

    /// The process as it is when the session begins.
    enum Beginning {
        /// Nothing of it has run: everything that is mapped may be patched.
        case atExec
        /// Only what is mapped from now on may be.
        case running
    }

    init(
        _ start: StartPatches, _ thread: HeldThread, _ process: TargetProcess
    ) throws(LiveProcessError) {
        self.thread = thread
        self.process = process
        try process.requireSupportedProgram()
        options = start.options
        patches = start.patches
        deadline = .now + start.patience
        pending = Array(start.patches.indices)
        // AT_BASE; 0 for a program without an interpreter.
        linker = try process.auxiliaryVector()[7].flatMap {
            $0 == 0 ? nil : RemoteAddress(rawValue: $0)
        }
    }

    // MARK: Outcomes

    var reports: [StartReport] {
        patches.indices.compactMap { number in
            outcomes[number].map { StartReport(patch: patches[number], outcome: $0) }
        }
    }

    /// What is still pending has failed.
    mutating func fail(_ failure: StartFailure) {
        for number in pending { outcomes[number] = .failure(failure) }
        pending = []
    }

    /// Forgets patches whose base is not mapped.
    mutating func dropWhatIsNotMapped() {
        pending = pending.filter { isBaseMapped(patches[$0]) }
    }

    mutating func dropAll() { pending = [] }

    /// What is still pending cannot be put in before the program's own code runs.
    private mutating func failWhatIsNotMapped() {
        for number in pending {
            let missing = missingLibraries(patches[number])
            outcomes[number] = .failure(
                isBaseMapped(patches[number])
                    ? .librariesNotMapped(missing)
                    : .baseNotMapped(patches[number].manifest.base))
        }
        pending = []
    }
}

// MARK: What is mapped

extension StartSession {
    /// Looks at what is mapped, and puts in what can be.
    mutating func note(_ beginning: Beginning) throws(StartFailure) {
        let found = try looked { p throws(LiveProcessError) in try p.loadedObjects() }
        switch beginning {
        case .atExec: try add(found)
        case .running:
            known = Set(found.map(\.range.start))
            objects = try looked { p throws(LiveProcessError) in
                try p.symbolLookupOrder(of: found)
            }
        }
    }

    /// The same after something was mapped.
    private mutating func noteMapping() throws(StartFailure) {
        try add(looked { p throws(LiveProcessError) in try p.loadedObjects() })
    }

    private mutating func add(_ found: [LoadedObject]) throws(StartFailure) {
        for object in found where known.insert(object.range.start).inserted {
            objects.append(object)
            try addCandidate(object)
        }
        putIn()
    }

    private mutating func addCandidate(_ object: LoadedObject) throws(StartFailure) {
        var identity = object.buildID.map { BaseIdentity.buildID($0.bytes) }
        // Only a patch of a file without a build id has its contents looked at.
        if identity == nil, patches.contains(where: { $0.isFor(namesake: object) }) {
            let image = try looked { p throws(LiveProcessError) in
                try options.images.image(of: object, in: p)
            }
            identity = try? BaseIdentity(of: image)
        }
        candidates.append(Candidate(object: object, identity: identity))
    }

    private func isBaseMapped(_ patch: PatchFile) -> Bool {
        candidates.contains { $0.identity == patch.manifest.base.identity }
    }

    /// The libraries that the patch refers to and that are not mapped yet.
    private func missingLibraries(_ patch: PatchFile) -> [String] {
        patch.manifest.libraries.filter { name in !objects.contains { answers($0, to: name) } }
            .sorted()
    }

    private func answers(_ object: LoadedObject, to name: String) -> Bool {
        if object.path == name || object.path.hasSuffix("/" + name) { return true }
        return (try? options.images.image(of: object, in: process))?.soname == name
    }

    private func looked<R>(
        _ body: (TargetProcess) throws(LiveProcessError) -> R
    ) throws(StartFailure) -> R {
        do throws(LiveProcessError) { return try body(process) } catch { throw .process(error) }
    }

    /// Puts in what has everything that it needs; of one base never a later patch
    /// before an earlier one.
    private mutating func putIn() {
        var blocked: Set<BaseIdentity> = []
        for number in pending {
            let patch = patches[number]
            let base = patch.manifest.base.identity
            guard isBaseMapped(patch), missingLibraries(patch).isEmpty, !blocked.contains(base)
            else {
                blocked.insert(base)
                continue
            }
            if let name = failedPredecessor(of: number) {
                outcomes[number] = .failure(.predecessorMissing(name))
                continue
            }
            // The dynamic linker maps what it looks up in first before the rest, breadth
            // first. It itself was there before all others, and offers nothing that
            // another object would be asked for.
            options.lookupOrder =
                objects.filter { !isLinker($0) }.map(\.range.start)
                + objects.filter(isLinker).map(\.range.start)
            do throws(SwitchoverError) {
                outcomes[number] = .success(
                    try Switchover.apply(patch, to: process, options: options))
            } catch {
                outcomes[number] = .failure(.switchover(error))
            }
        }
        pending.removeAll { outcomes[$0] != nil }
    }

    /// An earlier patch that this one builds on and that could not be put in.
    private func failedPredecessor(of number: Int) -> String? {
        let failed = patches[..<number].indices.filter {
            if case .failure? = outcomes[$0] { true } else { false }
        }
        guard !failed.isEmpty else { return nil }
        let item = SeriesItem(patches[number])
        for earlier in failed {
            let other = SeriesItem(patches[earlier])
            if other.base == item.base, item.dependsOn(other) { return other.id.name }
        }
        return nil
    }

    private func isLinker(_ object: LoadedObject) -> Bool {
        linker.map(object.range.contains) ?? false
    }
}

// MARK: Leading on

extension StartSession {
    /// System calls of a dynamic linker that loads a thousand libraries.
    private static let mostCalls = 16384
    /// System calls between the open of a library and the mapping of its code.
    private static let mostCallsToMapping = 64

    /// Leads the thread on until nothing is pending. What still is when the dynamic
    /// linker has mapped everything is given up.
    mutating func leadToLibraries() throws(StartFailure) {
        var calls = 0
        while !pending.isEmpty {
            guard linker != nil, try !isLinkMapComplete() else { return failWhatIsNotMapped() }
            guard calls < Self.mostCalls else { throw .tooSlow(calls: calls) }
            if try advance(after: calls).mapsCode { try noteMapping() }
            calls += 1
        }
    }

    /// Leads the thread on until code of what it has opened is mapped. Returns false
    /// where it does not come to that.
    mutating func leadToMapping() throws(StartFailure) -> Bool {
        let opened = try looked { _ throws(LiveProcessError) in try thread.resultOfLastCall() }
        guard opened >= 0 else { return false }
        for calls in 0..<Self.mostCallsToMapping {
            let call = try advance(after: calls)
            if call.mapsCode, call.arguments[4] == UInt64(opened) {
                try noteMapping()
                return true
            }
            if call.number == 3, call.arguments[0] == UInt64(opened) { return false }  // close
        }
        return false
    }

    private func isLinkMapComplete() throws(StartFailure) -> Bool {
        guard let program = objects.first(where: \.isProgram) else { return false }
        return try looked { p throws(LiveProcessError) in try p.hasCompleteLinkMap(program) }
    }

    private func advance(after calls: Int) throws(StartFailure) -> HeldThread.FinishedCall {
        let left = min(deadline - .now, .seconds(1)) / .nanoseconds(1)
        guard left > 0 else { throw .tooSlow(calls: calls) }
        let event = try looked { _ throws(LiveProcessError) in
            try thread.advance(atMost: UInt64(left))
        }
        switch event {
        case .call(let call): return call
        case .exec: throw .process(.programChanged(process.id))
        case .ended: throw .process(.ended(process.id))
        case .slow: throw .tooSlow(calls: calls)
        }
    }
}

extension HeldThread.FinishedCall {
    /// mmap(2) with PROT_EXEC, which has been done.
    fileprivate var mapsCode: Bool {
        number == 9 && arguments[2] & 4 != 0 && !(-4095..<0).contains(result)
    }
}

extension PatchFile {
    /// Whether it is for a file without a build id that has this object's name.
    fileprivate func isFor(namesake object: LoadedObject) -> Bool {
        guard case .contentDigest = manifest.base.identity else { return false }
        return object.path.hasSuffix("/" + manifest.base.fileName)
    }
}
