import Glibc
import LiveProcess
import Logging
import PatchFile
import PatchStore
import Synchronization
import SystemPackage

/// Everything that may take its time: reading the store, finding and marking files,
/// patching what runs, telling others. All of it on one OS thread.
final class Caretaker {
    let locations: Locations
    /// Files to mark that are where nobody would look: those that the user names, and
    /// those that the service before this one had marked.
    let extraPaths: Set<String>
    let bases: InstalledBases
    let mailbox: Mailbox
    let manager: ServiceManager
    let log: Logger
    let mode: WatchMode
    let programs: RunningPrograms
    let renewal: Renewal
    /// Called when the first marks are placed, before what runs is patched: from here
    /// on this process is the one that serves.
    let takeOver: () throws(WatchError) -> Void

    /// How it came to an end.
    enum End: Sendable {
        /// As it was told.
        case told
        case switchedOff(by: String)
        case failed(WatchError)
    }

    /// What is installed, as it was read last.
    private var contents: StoreContents?
    /// Of what is damaged, what was told already.
    private var toldDamage: Set<String> = []
    private var record: WatchRecord
    private var marked: MarkedFiles
    private var folders: FolderWatch
    private var refusals = Refusals()
    private var suspects = Suspects()
    private var sightings = ProgramSightings()
    private var caughtUp = CaughtUp()
    private var journal: WatchJournal

    /// Everything that runs is to be looked at.
    private var isWalkDue = true
    /// Another tool was changing the store: processes are left alone until then, in
    /// nanoseconds.
    private var storeRests: UInt64 = 0
    /// When folders that are missing are looked for next.
    private var foldersDue: UInt64 = 0
    private static let folderInterval: UInt64 = 5_000_000_000

    init(
        _ options: WatchOptions, _ keeper: StartKeeper, guardian: ProcessID,
        record: WatchRecord, predecessor: WatchRecord?, marked: MarkedFiles,
        folders: FolderWatch, manager: ServiceManager, renewal: Renewal,
        takeOver: @escaping () throws(WatchError) -> Void
    ) {
        locations = options.locations
        extraPaths = Set(options.paths.map(\.string) + (predecessor?.marks ?? []).map(\.path))
        log = options.log
        bases = keeper.bases
        mailbox = keeper.caretaker
        mode = keeper.mode
        programs = RunningPrograms(bases: keeper.bases, exempt: guardian)
        self.record = record
        self.marked = marked
        self.folders = folders
        self.manager = manager
        self.renewal = renewal
        self.takeOver = takeOver
        journal = WatchJournal(options.locations)
    }

    /// Works until it is told to end, or has to.
    func work() -> End {
        do throws(WatchError) {
            try readStore()
            markFiles()
            // Marks first, then what runs: no start falls between.
            try takeOver()
        } catch {
            return .failed(error)
        }
        tell()
        manager.tellReady(status: status)
        while true {
            attendToProcesses()
            wait()
            if let reason = KillSwitch.reason(configuration: locations.config) {
                return .switchedOff(by: reason)
            }
            if !attendToMail() { return .told }
            attendToFolders()
            attendToRenewal()
        }
    }

    // MARK: Waiting

    /// Until there is something to do.
    private func wait() {
        var waiters = [mailbox.descriptor, folders.descriptor, renewal.descriptor].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        _ = unsafe Glibc.poll(&waiters, nfds_t(waiters.count), patience)
    }

    /// Milliseconds until the next thing is due.
    private var patience: Int32 {
        let now = monotonicNanoseconds()
        var due = [refusals.nextDue, suspects.nextDue, isWalkDue ? now : nil]
            .compactMap(\.self).min().map { max($0, storeRests) }
        due = [due, foldersDue, renewal.due].compactMap(\.self).min()
        let wait = due.map { $0 > now ? ($0 - now) / 1_000_000 + 1 : 0 } ?? 0
        return Int32(
            clamping: mode == .polling ? min(wait, UInt64(WatchMode.pollingInterval)) : wait)
    }

    /// false where it is to end.
    private func attendToMail() -> Bool {
        var waiter = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
        guard unsafe Glibc.poll(&waiter, 1, 0) > 0 else { return true }
        var outcomes: [ProcessOutcome] = []
        for message in mailbox.take() {
            switch message {
            case .served(let outcome): outcomes.append(outcome)
            case .startMissed(let process): suspects.add(process, now: monotonicNanoseconds())
            case .reload:
                manager.tellReloading()
                if !startAnew() { finishReload() }
            case .end: return false
            }
        }
        note(outcomes)
        return true
    }

    // MARK: Reading everything anew

    /// Where this program was upgraded, the new one reads everything and takes over.
    /// Returns whether it was started.
    private func startAnew() -> Bool {
        guard renewal.isDue else { return false }
        if renewal.process != nil { return true }
        guard manager.listens else {
            log.notice(
                """
                '\(renewal.path)' is another version now: started beside this one, it takes over
                """)
            return false
        }
        do throws(Errno) {
            try renewal.start()
        } catch {
            log.error("cannot start '\(renewal.path)', which is another version now: \(error)")
            return false
        }
        log.notice("'\(renewal.path)' is another version now: it was started, and takes over")
        return true
    }

    private func attendToRenewal() {
        guard let failure = renewal.failure(now: monotonicNanoseconds()) else { return }
        log.error("the new version at '\(renewal.path)' is not in force: \(failure)")
        finishReload()
    }

    private func finishReload() {
        reload()
        manager.tellReady(status: status)
    }

    // MARK: The store and the files

    private func reload() {
        do throws(WatchError) { try readStore() } catch {
            // What was known stays in force.
            log.error("\(error)")
        }
        markFiles()
        isWalkDue = true
        tell()
    }

    private func readStore() throws(WatchError) {
        let contents: StoreContents
        do throws(StoreError) {
            contents = try PatchStore(opening: locations).read()
        } catch {
            throw .store(error)
        }
        let damage = Set(contents.damaged.map(\.description))
        for new in damage.subtracting(toldDamage).sorted() { log.error("\(new)") }
        toldDamage = damage
        bases.replace(with: contents.applicable)
        self.contents = contents
        // Told when the marks are placed.
        record.store = WatchRecord.Store(
            path: locations.state.string, revision: contents.revision)
    }

    /// Finds the files of the installed bases, marks them, and watches the folders.
    private func markFiles() {
        marked.retire(whatIsNotIn: bases)
        var places = names
        for series in bases.all { places.formUnion(series.base.usualPlaces) }
        for path in places { look(at: path) }
        do throws(Errno) {
            for sighting in try programs.sightings() where !sighting.isDeleted {
                mark(sighting)
            }
        } catch {
            log.error("cannot look for processes: \(error)")
        }
        watchFolders()
    }

    /// Returns those that were not watched before.
    @discardableResult
    private func watchFolders() -> Set<String> {
        foldersDue = monotonicNanoseconds() &+ Self.folderInterval
        return folders.watch(
            Set(names.map(folder(of:)))
                .union([locations.state.string, locations.config.string]))
    }

    private func folder(of path: String) -> String {
        FilePath(path).removingLastComponent().string
    }

    /// The names under which a file of an installed base is, was, or may come to be.
    private var names: Set<String> {
        let installed = contents?.patches.flatMap(\.paths).map(\.string) ?? []
        return marked.names.union(installed).union(extraPaths)
    }

    /// Returns whether a mark was placed.
    @discardableResult
    private func look(at path: String) -> Bool {
        do throws(Errno) {
            return try marked.look(at: path, bases)
        } catch {
            log.error("cannot mark '\(path)': \(error); its starts are noticed too late")
            return false
        }
    }

    private func mark(_ sighting: RunningPrograms.Sighting) {
        do throws(LiveProcessError) {
            // The mapped file itself, whatever its name leads to here.
            let result = try sighting.process.withFile(of: sighting.object) { descriptor in
                Result { () throws(Errno) in
                    try marked.look(at: descriptor, called: sighting.path, bases)
                }
            }
            if case .failure(let error) = result {
                log.error("cannot mark '\(sighting.path)': \(error)")
            }
        } catch {
            // It has ended, and another one that runs the file is another sighting.
            log.debug("\(error)")
        }
    }

    private func attendToFolders() {
        let (changes, isComplete) = folders.changes()
        let appeared = monotonicNanoseconds() >= foldersDue ? watchFolders() : []
        if !isComplete || changes.contains(locations.series.string)
            || appeared.contains(locations.state.string)
        {
            return reload()
        }
        let paths = names.filter {
            changes.contains($0) || appeared.contains(folder(of: $0))
        }
        guard !paths.isEmpty else { return }
        let before = marked.marks
        for path in paths where look(at: path) {
            // Whatever started between the change and the mark.
            isWalkDue = true
        }
        if isWalkDue || marked.marks != before { tell() }
    }

    // MARK: Processes

    /// Everything, or those that could not be patched, and those whose start was not
    /// held.
    private func attendToProcesses() {
        let now = monotonicNanoseconds()
        if mode == .polling { poll(now) }
        let due = [refusals.nextDue, suspects.nextDue].compactMap(\.self).min()
        guard now >= storeRests, isWalkDue || due.map({ $0 <= now }) ?? false else { return }
        let isDone = whileStoreRests { contents in
            if isWalkDue { walk(contents) }
            tryAgain(contents, now)
        }
        // Whoever changes it brings what runs to it, and takes no longer than that most
        // often.
        if !isDone { storeRests = monotonicNanoseconds() &+ 50_000_000 }
    }

    /// Works while nobody else changes the store or brings processes to it. Returns
    /// false where somebody does.
    private func whileStoreRests(_ work: (StoreContents) -> Void) -> Bool {
        do throws(StoreError) {
            try PatchStore(opening: locations).change(timeout: .zero, failure: { $0 }) {
                change throws(StoreError) in work(try change.read())
            }
        } catch .busy {
            return false
        } catch {
            // As where the disk is full: what is known goes on to be in force.
            log.error("\(error)")
            if let contents { work(contents) }
        }
        return true
    }

    private func walk(_ contents: StoreContents) {
        isWalkDue = false
        do throws(Errno) {
            note(try programs.follow(contents))
        } catch {
            log.error("cannot look for processes: \(error)")
        }
    }

    private func tryAgain(_ contents: StoreContents, _ now: UInt64) {
        let refused = refusals.due(now: now)
        let processes = refused + suspects.due(now: now)
        guard !processes.isEmpty else { return }
        let outcomes = programs.follow(contents, in: processes)
        let answered = Set(outcomes.map(\.process))
        // Gone, or another program now.
        let gone = refused.filter { !answered.contains($0) }
        for process in gone { refusals.forget(process) }
        note(outcomes)
        if !gone.isEmpty { tell() }
    }

    private func poll(_ now: UInt64) {
        if sightings.areLibrariesDue(now: now) { isWalkDue = true }
        for process in sightings.look() { suspects.add(process, now: now) }
    }

    private func note(_ outcomes: [ProcessOutcome]) {
        let before = (refusals.all, caughtUp.all)
        let date = Int64(time(nil))
        for outcome in outcomes {
            refusals.note(outcome, now: monotonicNanoseconds(), date: date)
            caughtUp.note(outcome, date: date)
        }
        journal.note(outcomes, log)
        if (refusals.all, caughtUp.all) != before { tell() }
    }

    // MARK: Telling

    private var status: String {
        let (marks, refused) = (marked.marks.count, refusals.all.count)
        return "\(mode.rawValue): \(bases.all.count) bases, \(marks) files"
            + (refused > 0 ? ", \(refused) refusals" : "")
    }

    private func tell() {
        caughtUp.forgetEnded(now: monotonicNanoseconds())
        record.marks = marked.marks
        record.refusals = refusals.all
        record.caughtUp = caughtUp.all
        do throws(Errno) {
            try record.write(in: locations.run)
        } catch {
            log.error("cannot write '\(locations.run)/\(WatchRecord.fileName)': \(error)")
        }
        manager.tell(status: status)
    }
}
