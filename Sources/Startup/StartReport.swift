import LiveProcess
import PatchFile
import Switchover

/// What became of one patch when a program was started or a library loaded.
public struct StartReport: Sendable {
    public let patch: PatchFile
    public let outcome: Result<SwitchReport, StartFailure>
}

/// Why a patch is not in a program that was started, or in a library that was
/// loaded. Nothing was changed.
public enum StartFailure: Error, Sendable {
    case switchover(SwitchoverError)
    /// The program does not load the object that the patch is for when it starts.
    case baseNotMapped(Base)
    /// The patch refers to these libraries, and the program's own code began, or was
    /// about to, before they were mapped.
    case librariesNotMapped([String])
    /// It requires the patch of that name, or replaces functions of it, and that one is
    /// not in.
    case predecessorMissing(String)
    /// The dynamic linker was not done in time: after that many system calls, or one
    /// that took too long.
    case tooSlow(calls: Int)
    /// The process ended, or runs another program by now.
    case process(LiveProcessError)

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .switchover(let error): error.code
        case .baseNotMapped: "start.base-not-mapped"
        case .librariesNotMapped: "start.libraries-not-mapped"
        case .predecessorMissing: "start.predecessor-missing"
        case .tooSlow: "start.too-slow"
        case .process(let error): error.code
        }
    }
}

extension StartFailure: CustomStringConvertible {
    public var description: String {
        switch self {
        case .switchover(let error): error.description
        case .baseNotMapped(let base):
            "the program has not loaded build \(base.identity) of \(base.fileName) when its own "
                + "code begins; build the patch against the file that it runs, or apply it when "
                + "the library is loaded"
        case .librariesNotMapped(let names):
            "the patch refers to \(names.joined(separator: ", ")), which the program has not "
                + "loaded when its own code begins; apply the patch when it is"
        case .predecessorMissing(let name):
            "it builds on '\(name)', which is not in"
        case .tooSlow(let calls):
            "the dynamic linker was not done after \(calls) system calls; apply the patch when "
                + "the program runs"
        case .process(let error): error.description
        }
    }
}
