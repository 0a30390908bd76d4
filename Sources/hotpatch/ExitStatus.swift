import ArgumentParser

/// The exit codes that scripts may rely on.
enum ExitStatus: Int32 {
    case done = 0
    case failed = 1
    /// Not safe or not possible on this target; nothing was changed.
    case refused = 2
    /// Threads stayed busy in what was to be replaced; nothing was changed.
    case timedOut = 3
    /// Several targets, of which some were done; the output says which.
    case partlyDone = 4
    case noSuchTarget = 5
    case notPermitted = 6
    case usage = 64
    /// 'run' found the command and cannot run it; as with env(1) and sh(1).
    case cannotRun = 126
    case commandNotFound = 127
}

extension ParsableCommand {
    /// Ends the tool with one of its own codes.
    static func exit(with status: ExitStatus) -> Never {
        exit(withError: ExitCode(status.rawValue))
    }
}
