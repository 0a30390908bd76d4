import Addresses
import LiveProcess
import PatchLinker

/// How far a switch may go, and how long it may try.
public struct SwitchOptions: Sendable {
    /// How long to try while threads are busy or cannot be stopped. The program
    /// runs between the tries.
    public var timeout: Duration
    /// Switch although threads are inside the originals (never inside the bytes
    /// that are rewritten): old and new code then run side by side for a while.
    public var allowsActiveOriginals: Bool
    /// What to do in a program under a seccomp filter.
    public var seccomp: SeccompPolicy
    /// Use the room of patches again that are out and that nothing can point to. Not
    /// for programs whose signal handlers switch between threads of their own making
    /// (swapcontext(3)): what such a thread was doing is not to be seen.
    public var reusesRooms = false
    /// Names of patches that are to be switched out in the switch in which others come.
    public var replacing: Set<String> = []
    /// The files of the objects that processes have loaded. Who uses the same
    /// options for many processes reads each file once.
    public var images = ObjectImages()
    /// The same for what linking takes of patches.
    public var preparations = PatchPreparations()
    /// Where the dynamic linker is at work: the objects that it has mapped, by where
    /// they start, in the order in which it is going to look symbols up. nil: in the
    /// order of its own list.
    public var lookupOrder: [RemoteAddress]?
    /// Told of each phase as it begins, at once and on whatever OS thread does the
    /// work. While the target stands still it must do nothing slow.
    public var observer: (@Sendable (SwitchPhase) -> Void)?

    public init(
        timeout: Duration = .seconds(10), allowsActiveOriginals: Bool = false,
        seccomp: SeccompPolicy = .refuse
    ) {
        self.timeout = timeout
        self.allowsActiveOriginals = allowsActiveOriginals
        self.seccomp = seccomp
    }
}

/// What a switch did, and what it cost the program.
public struct SwitchReport: Sendable {
    public enum Outcome: String, Sendable {
        /// The detours stand now.
        case applied
        /// They stood before; nothing was touched.
        case alreadyApplied = "already-applied"
        /// A dry run: they could stand now.
        case possible
        /// The original bytes stand again.
        case reverted
        /// They stood before; nothing was touched.
        case alreadyReverted = "already-reverted"
    }

    public let outcome: Outcome
    public let patch: String
    /// Of the patch file, in hexadecimal.
    public let digest: String
    /// The build that the patch was made for, as it is shown.
    public let base: String
    public let symbols: [String]
    /// What was stopped and for how long; nil where nothing had to be.
    public let stop: StopReport?
    /// How often the program was stopped before the switch could be made.
    public let attempts: Int
    /// From looking at the process to having let go of it.
    public let duration: Duration
}
