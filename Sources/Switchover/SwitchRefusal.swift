import Addresses
import JSONText
import LiveProcess
import PatchFile
import PatchLinker
import Quiescence

/// Why a patch is not switched in or out of a process. Nothing was changed.
public enum SwitchRefusal: Equatable, Sendable {
    /// The process has no object of the build that the patch is for. `found`
    /// are objects of the same file name, with their builds.
    case baseNotLoaded(base: Base, found: [FoundObject])
    /// Several objects of the process are of the build that the patch is for.
    case baseLoadedTwice(base: Base, paths: [String])
    /// The function's bytes in memory are not those of the base.
    case bytesDiffer(
        symbol: String, address: RemoteAddress, expected: [UInt8], found: [UInt8])
    /// Another patch replaces the function already.
    case alreadyReplaced(symbol: String, by: String)
    /// Two patches that are to go in together replace the function.
    case replacedTwice(symbol: String, by: String, and: String)
    /// Two patches that are to go in together have one name.
    case namedAlike(name: String)
    /// Another patch's detour, of another function, takes padding that this one needs.
    case paddingTaken(symbol: String, place: RemoteAddress, by: String, otherSymbol: String)
    /// Another patch replaces the function already, by way of other padding.
    case otherPadding(
        symbol: String, place: RemoteAddress, by: String, otherPlace: RemoteAddress)
    /// Another patch of that name is applied.
    case nameTaken(name: String, digest: String)
    /// The code cannot be written safely where it is mapped.
    case unsuitableMapping(symbol: String, address: RemoteAddress, reason: MappingReason)
    /// The patch cannot be linked into this process.
    case link(code: String, message: String)
    /// A payload whose detours stand only in part.
    case mixedState(name: String)
    /// No patch of that name is in the process.
    case notApplied(name: String, applied: [String])
    /// Another patch stands on top of it.
    case underneath(symbol: String, name: String, by: String)
    /// Several functions cannot be switched as one, since the old code of this one
    /// cannot be kept reachable while that is under way.
    case cannotMove(symbol: String, reason: String)
    /// A jump from the function does not reach the payload.
    case outOfReach(symbol: String)
    /// The journal of an interrupted switch makes no sense, and jumps are in the way.
    case damagedJournal(name: String)
    /// Functions lead to a payload whose state the process has spoiled.
    case damagedPayload(name: String, damage: PayloadDamage)
    /// A debugger's or a probe's int3 stands in what a switch writes.
    case breakpoint(symbol: String, address: RemoteAddress)
    /// The detour is not what the payload says; somebody else wrote there.
    case detourDiffers(symbol: String, address: RemoteAddress, found: [UInt8])
    /// A thread is in a function whose code has no end, such as a main loop.
    case neverReturns(Activity)

    public struct FoundObject: Hashable, Sendable {
        public let path: String
        public let identity: String

        public init(path: String, identity: String) {
            self.path = path
            self.identity = identity
        }
    }

    public enum MappingReason: String, Hashable, Sendable {
        case notMapped = "nothing is mapped there"
        case notExecutable = "the mapping is not executable"
        case writable = "the mapping is writable and executable"
        case acrossPages = "the bytes to write lie in two pages, and such a write may be torn"
        case shared = "the mapping is shared, so a write would reach the file or other processes"
    }

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .baseNotLoaded: "switch.base-not-loaded"
        case .baseLoadedTwice: "switch.base-loaded-twice"
        case .bytesDiffer: "switch.bytes-differ"
        case .alreadyReplaced: "switch.already-replaced"
        case .replacedTwice: "switch.replaced-twice"
        case .namedAlike: "switch.named-alike"
        case .paddingTaken: "switch.padding-taken"
        case .otherPadding: "switch.other-padding"
        case .nameTaken: "switch.name-taken"
        case .unsuitableMapping: "switch.unsuitable-mapping"
        case .link(let code, _): code
        case .mixedState: "switch.mixed-state"
        case .notApplied: "switch.not-applied"
        case .underneath: "switch.underneath"
        case .cannotMove: "switch.cannot-move"
        case .outOfReach: "switch.out-of-reach"
        case .damagedJournal: "switch.damaged-journal"
        case .damagedPayload: "switch.damaged-payload"
        case .breakpoint: "switch.breakpoint"
        case .detourDiffers: "switch.detour-differs"
        case .neverReturns: "switch.never-returns"
        }
    }
}

extension SwitchRefusal: CustomStringConvertible {
    public var description: String {
        switch self {
        case .baseNotLoaded(let base, let found):
            let other = found.map { "\($0.path) is build \($0.identity)" }.joined(separator: "; ")
            return "no object of the process is build \(base.identity) of \(base.fileName)"
                + (other.isEmpty ? "" : " (\(other))")
                + "; build the patch against the file that the process runs"
        case .baseLoadedTwice(let base, let paths):
            return "the process has build \(base.identity) of \(base.fileName) loaded "
                + "\(paths.count) times (\(paths.joined(separator: ", "))), and a patch of one "
                + "of them would leave the others as they are"
        case .bytesDiffer(let symbol, let address, let expected, let found):
            return "'\(symbol)' at \(address) is not what the base has: found "
                + "\(Hexadecimal.text(found)) where the file has \(Hexadecimal.text(expected)); "
                + "a debugger's breakpoint, a probe or another tool may have written there"
        case .alreadyReplaced(let symbol, let by):
            return "'\(symbol)' is replaced already by the patch '\(by)'; revert that first"
        case .replacedTwice(let symbol, let by, let other):
            return "'\(other)' and '\(by)' both replace '\(symbol)', and patches that go in "
                + "together cannot stand on one another; apply one after the other, or leave one out"
        case .namedAlike(let name):
            return "two of the patches are called '\(name)'; give one of them another name"
        case .paddingTaken(let symbol, let place, let by, let otherSymbol):
            return "'\(symbol)' would need the padding at \(place), which the patch '\(by)' takes "
                + "for '\(otherSymbol)'; make one patch of both functions, or leave out '\(by)'"
        case .otherPadding(let symbol, let place, let by, let otherPlace):
            return "'\(symbol)' is replaced already by the patch '\(by)', whose jump goes by way "
                + "of the padding at \(otherPlace), where this one needs that at \(place): one of "
                + "them was built against another file of this build, such as a stripped one; "
                + "build both against the same, or revert '\(by)' first"
        case .nameTaken(let name, let digest):
            return "another patch called '\(name)' is applied (\(digest.prefix(12))…); "
                + "revert that first, or give this one another name"
        case .unsuitableMapping(let symbol, let address, let reason):
            return "'\(symbol)' at \(address) cannot be rewritten: \(reason.rawValue)"
        case .link(_, let message): return message
        case .mixedState(let name):
            return "some detours of '\(name)' stand and some do not; "
                + "an interrupted run or another tool left it so: revert it first"
        case .notApplied(let name, let applied):
            return "no patch called '\(name)' is in the process"
                + (applied.isEmpty
                    ? "; none is applied" : "; applied: " + applied.joined(separator: ", "))
        case .underneath(let symbol, let name, let by):
            return "'\(name)' lies under '\(by)', which replaces '\(symbol)' as well; revert "
                + "'\(by)' first, or all patches with --all"
        case .cannotMove(let symbol, let reason):
            return "'\(symbol)' cannot be switched together with functions of other pages: "
                + "\(reason)"
        case .outOfReach(let symbol):
            return "the detour of '\(symbol)' does not reach its patch"
        case .damagedJournal(let name):
            return "the switch of '\(name)' was interrupted, and its journal does not tell what "
                + "stands at its functions: the process has written there, or has replaced an "
                + "object; it goes on as it is, and only a restart of the program mends it"
        case .damagedPayload(let name, let damage):
            return "functions lead to the patch '\(name)', but \(damage.description), so that "
                + "what they led to before is not known; they go on leading there until the "
                + "program is restarted"
        case .breakpoint(let symbol, let address):
            return "a breakpoint (int3) stands at \(address), in the detour of '\(symbol)'. A "
                + "debugger has to take it out first. If it is a probe (uprobe), restart the "
                + "program before it comes there: the kernel runs what the file has there and goes "
                + "on in the middle of the jump, and spoils the jump when the probe goes"
        case .detourDiffers(let symbol, let address, let found):
            return "the detour of '\(symbol)' at \(address) was overwritten: found "
                + "\(Hexadecimal.text(found)); whoever wrote there has to undo it first, or "
                + "the program has to be restarted"
        case .neverReturns(let activity):
            return "\(activity), and '\(activity.stretch.symbol)' never returns: no path "
                + "through its code leads to its end, so waiting is of no use; patch the "
                + "functions that it calls instead, or use --allow-active: the old code then "
                + "goes on there, and the new code serves the calls to come"
        }
    }
}

/// Why applying or reverting came to nothing.
public enum SwitchoverError: Error, Sendable {
    /// Not possible on this target, with every reason found.
    case refused([SwitchRefusal])
    /// Threads stayed in what is to be rewritten until the time was up.
    case busy([Activity], waited: Duration)
    /// The threads could not all be stopped until the time was up.
    case cannotStop(String, waited: Duration)
    /// A signal asked for an end before anything was switched; the caller is to
    /// raise it again when it has said so.
    case interrupted(signal: Int32)
    /// The process could not be looked at or stopped.
    case process(LiveProcessError)
    /// A write did not stand afterwards; what was written is undone.
    case verification(symbol: String, address: RemoteAddress, found: [UInt8])

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .refused(let reasons): reasons.first?.code ?? "switch.refused"
        case .busy: "switch.busy"
        case .cannotStop: "switch.cannot-stop"
        case .interrupted: "switch.interrupted"
        case .process(let error): error.code
        case .verification: "switch.verification-failed"
        }
    }
}

extension SwitchoverError {
    /// The threads that are in the way, each with its backtrace where it is known.
    public var activities: [Activity] {
        switch self {
        case .busy(let activities, _): return activities
        case .refused(let reasons):
            return reasons.compactMap {
                if case .neverReturns(let activity) = $0 { activity } else { nil }
            }
        case .cannotStop, .process, .verification, .interrupted: return []
        }
    }

    private static func list(_ activities: [Activity]) -> String {
        activities.map(\.description).joined(separator: "; ")
            + (activities.count < ThreadJudge.mostHits ? "" : "; and perhaps others")
    }

    private static func advice(_ activities: [Activity]) -> String {
        let waiting =
            "try again with a longer --timeout, when the program is less busy, or with "
            + "--allow-active where old and new code may run side by side"
        guard let stuck = activities.first(where: { $0.stay != nil }) else { return waiting }
        return "if '\(stuck.stretch.symbol)' is a loop that never returns, waiting is of no "
            + "use: patch the functions that it calls instead; otherwise " + waiting
    }
}

extension SwitchoverError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .refused(let reasons):
            return reasons.map(\.description).joined(separator: "\n  ")
        case .busy(let activities, let waited):
            return "gave up after \(waited.seconds) s, nothing was changed: "
                + Self.list(activities) + "; " + Self.advice(activities)
        case .cannotStop(let reason, let waited):
            return "gave up after \(waited.seconds) s, nothing was changed: \(reason)"
        case .interrupted(let signal):
            return "interrupted by signal \(signal), nothing was changed"
        case .process(let error):
            return error.description
        case .verification(let symbol, let address, let found):
            return "wrote the jump of '\(symbol)' at \(address), but found "
                + "\(Hexadecimal.text(found)) there afterwards; all was put back"
        }
    }
}
