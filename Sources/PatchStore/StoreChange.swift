import Glibc
import JSONText
import PatchFile
import SystemPackage

/// A patch file that may be installed: what was verified is what will be kept.
public struct PatchCandidate: Sendable {
    public let file: PatchFile
    let bytes: [UInt8]

    /// Reads and verifies the file at `path`.
    public init(path: FilePath) throws(PatchFileError) {
        try self.init(bytes: PatchFile.contents(of: path), name: path.string)
    }

    /// Verifies a patch in memory; `name` is for messages.
    public init(bytes: [UInt8], name: String) throws(PatchFileError) {
        file = try PatchFile(bytes: bytes, name: name)
        self.bytes = bytes
    }
}

extension PatchStore {
    /// Changes the store while nobody else can.
    ///
    /// What has to be done to processes belongs into `body` too: two that patch and
    /// unpatch at one time would leave a process with what is not installed.
    ///
    /// - Parameter timeout: how long to wait for somebody else.
    ///
    /// Throws what `body` throws, or a `StoreError` made an error of its by `failure`.
    public func change<R, Failure: Error>(
        timeout: Duration, failure: (StoreError) -> Failure,
        _ body: (borrowing StoreChange) throws(Failure) -> R
    ) throws(Failure) -> R {
        let change: StoreChange
        do throws(StoreError) { change = try begin(timeout: timeout) } catch {
            throw failure(error)
        }
        return try body(change)
    }

    private func begin(timeout: Duration) throws(StoreError) -> StoreChange {
        let isFirst = unsafe access(locations.series.string, F_OK) != 0
        try makeDirectories(isCertain: isFirst)
        let lock = try StoreLock.acquire(locations.lock, timeout: timeout)
        try removeStrays(except: try list().entries)
        return StoreChange(store: self, lock: lock)
    }
}

/// The store while it is being changed.
public struct StoreChange: ~Copyable {
    private let store: PatchStore
    private let lock: StoreLock

    init(store: PatchStore, lock: consuming StoreLock) {
        self.store = store
        self.lock = lock
    }

    /// What is installed now.
    public func read() throws(StoreError) -> StoreContents { try store.read() }

    /// ``StoreContents/revision`` now.
    public func revision() throws(StoreError) -> Int64 { try store.list().revision }

    /// Installs patches, all of them or none.
    ///
    /// - Parameters:
    ///   - replacing: whether a patch takes the place of one of the same name and base.
    ///   - paths: where files of a base are.
    ///   - by: who does it, for people.
    ///
    /// Returns what came of each, in the order given.
    public func install(
        _ candidates: [PatchCandidate], replacing: Bool = false, by: String,
        paths: (BaseIdentity) -> [FilePath]
    ) throws(StoreError) -> [Series.Outcome] {
        let contents = try read()
        let change: Series.Change
        do throws(SeriesRefusal) {
            change = try Series.adding(
                candidates.map { SeriesItem($0.file) }, to: contents.items, replacing: replacing)
        } catch {
            throw .refused(error)
        }
        for (candidate, outcome) in zip(candidates, change.outcomes)
        where outcome != .alreadyInstalled {
            try store.replace(store.path(of: PatchID(candidate.file)), with: candidate.bytes)
        }
        try commit(change, paths: paths) { item in
            SeriesEntry(id: item.id, base: item.base, installedAt: .now, by: by, paths: [])
        }
        return change.outcomes
    }

    /// Takes patches out, all of them or none. They stay among the withdrawn ones until
    /// ``noteGone(_:)``.
    public func uninstall(_ entries: [SeriesEntry]) throws(StoreError) {
        let items = try read().items
        let change: Series.Change
        do throws(SeriesRefusal) {
            change = try Series.removing(from: items) { item in
                entries.contains { $0.id == item.id && $0.base == item.base }
            }
        } catch {
            throw .refused(error)
        }
        try commit(change, paths: { _ in [] }, newEntry: { _ in nil })
    }

    /// Patches that were withdrawn are in no process any more.
    public func noteGone(_ patches: Set<WithdrawnPatch>) throws(StoreError) {
        var list = try store.list()
        let known = list.withdrawn.count
        list.withdrawn.removeAll(where: patches.contains)
        if list.withdrawn.count != known { try write(list) }
    }

    /// Writes the list that a change leads to. Entries that are there stay, and learn
    /// where else their base is.
    private func commit(
        _ change: Series.Change, paths: (BaseIdentity) -> [FilePath],
        newEntry: (SeriesItem) -> SeriesEntry?
    ) throws(StoreError) {
        let before = try store.list()
        var after = SeriesList()
        after.revision = before.revision
        for item in change.items {
            let present = before.entries.first { $0.id == item.id && $0.base == item.base }
            guard var entry = present ?? newEntry(item) else { continue }
            for path in paths(item.base) where !entry.paths.contains(path) {
                entry.paths.append(path)
            }
            after.entries.append(entry)
        }
        let installed = Set(change.items.map { WithdrawnPatch(id: $0.id, base: $0.base) })
        for patch in before.withdrawn + change.withdrawn.map({ .init(id: $0.id, base: $0.base) })
        where !installed.contains(patch) && !after.withdrawn.contains(patch) {
            after.withdrawn.append(patch)
        }
        if after != before { try write(after) }
        try store.removeStrays(except: after.entries)
    }

    private func write(_ list: SeriesList) throws(StoreError) {
        var list = list
        list.revision = min(list.revision + 1, SeriesList.revisionLimit - 1)
        let text = list.json.text(pretty: true) + "\n"
        try store.replace(store.locations.series, with: Array(text.utf8))
    }
}

extension StoreContents {
    /// Everything that is installed, in order, for the rules.
    public var items: [SeriesItem] {
        entries.map { entry in
            if let patch = patches.first(where: { $0.entry == entry }) {
                return SeriesItem(patch.file)
            }
            var item = SeriesItem(id: entry.id, base: entry.base)
            item.isSound = false
            return item
        }
    }
}
