import CFanotify
import CLinuxTrace
import Glibc
import LiveProcess
import Synchronization
import SystemPackage

/// The kernel's questions whether programs may start and libraries may be opened
/// (fanotify(7)).
///
/// The kernel waits for answers as long as the group is open, and with its last
/// descriptor all open questions count as answered with yes: so no other process ever
/// holds one, and whatever ends this process lets every program start.
final class PermissionGroup: Sendable {
    /// Closed by ``close()``, or else with this value.
    private let file: Mutex<Int32>

    /// What is asked about.
    enum Occasion: Hashable, Sendable {
        /// The file is about to be run.
        case execution
        /// The file is about to be opened, by a program that loads it as a library
        /// perhaps.
        case opening
    }

    /// Throws what fanotify_init(2) answers: `notPermitted` without CAP_SYS_ADMIN.
    init() throws(Errno) {
        let result = cfanotify_open_group()
        if result < 0 { throw Errno(rawValue: -result) }
        file = Mutex(result)
    }

    deinit { close() }

    /// For poll(2), by the thread that is going to close it.
    var descriptor: Int32 { file.withLock { $0 } }

    /// Gives up: whoever waits for an answer goes on, and nobody is asked any more.
    func close() {
        file.withLock { file in
            if file >= 0 { _ = Glibc.close(file) }
            file = -1
        }
    }

    /// Marks the file, or takes the mark away.
    ///
    /// - Parameter descriptor: of the file.
    func mark(_ descriptor: Int32, _ occasion: Occasion, add: Bool = true) throws(Errno) {
        let kind = occasion == .execution ? CFANOTIFY_EXECUTION : CFANOTIFY_OPENING
        let result = file.withLock { cfanotify_mark($0, kind, descriptor, add) }
        if result < 0 { throw Errno(rawValue: -result) }
    }

    /// What is asked at this moment. Each question has a descriptor from here on.
    func questions() throws(Errno) -> [StartQuestion] {
        var found = [cfanotify_question](repeating: cfanotify_question(), count: 16)
        let count = file.withLock { unsafe cfanotify_read($0, &found, found.count) }
        if count < 0 { throw Errno(rawValue: -count) }
        return found.prefix(Int(count)).map { StartQuestion($0, in: self) }
    }

    fileprivate func allow(_ descriptor: Int32) {
        // It fails where the group is closed, which is an answer, too.
        file.withLock { file in
            if file >= 0 { _ = cfanotify_allow(file, descriptor) }
        }
    }
}

/// The kernel lets a thread wait for an answer. It gets one at the latest when the
/// last reference to this value goes.
final class StartQuestion: Sendable {
    /// Who waits.
    let thread: ThreadID
    let occasion: PermissionGroup.Occasion
    /// Nanoseconds, see ``monotonicNanoseconds()``.
    let asked = monotonicNanoseconds()
    private let file: Descriptor
    private let group: PermissionGroup
    private let isOpen = Atomic<Bool>(true)

    fileprivate init(_ question: cfanotify_question, in group: PermissionGroup) {
        thread = ThreadID(rawValue: question.thread)
        occasion = question.executes ? .execution : .opening
        file = Descriptor(rawValue: question.file)
        self.group = group
    }

    deinit { allow() }

    /// The file that is asked about, open for reading as long as this value is there.
    var descriptor: Int32 { file.rawValue }

    var isAnswered: Bool { !isOpen.load(ordering: .acquiring) }

    /// Lets the thread go on. The first answer counts.
    func allow() {
        // Whoever finds it open is the only one to answer: the number of the
        // descriptor stands for the question.
        guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
        group.allow(file.rawValue)
    }

    /// The thread is one of this process: it would wait for itself.
    var isOwn: Bool {
        clinux_is_own_thread(thread.rawValue)
    }
}
