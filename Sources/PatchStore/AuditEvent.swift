import Glibc
import JSONText
import PatchFile

/// One thing that was done, or refused, for the log.
public struct AuditEvent: Equatable, Sendable {
    public enum Action: String, Sendable, CaseIterable {
        case apply, revert, recover, install, uninstall
        /// Applied by the service, to a program that started or to one that it caught up
        /// with.
        case reapply
    }

    /// Who did it.
    public struct Actor: Equatable, Sendable {
        public var userID: UInt32
        /// The user that logged in (pam_loginuid(8)), whoever this one became since.
        public var loginUserID: UInt32?
        /// Who called sudo(8); told by the environment, so it is only what the caller says.
        public var sudoUser: String?
        public var pid: Int32
        public var command: String
    }

    /// What it was done to.
    public struct Process: Equatable, Sendable {
        public var pid: Int32
        /// Clock ticks after boot.
        public var startTime: UInt64
        public var executable: String

        public init(pid: Int32, startTime: UInt64, executable: String) {
            self.pid = pid
            self.startTime = startTime
            self.executable = executable
        }
    }

    public var at: Moment
    public var action: Action
    public var actor: Actor
    public var process: Process?
    /// The base's build id, as it is shown.
    public var base: String?
    public var patch: String?
    /// Of the patch file, in hexadecimal.
    public var digest: String?
    public var stallMicroseconds: Int64?
    /// One word: `applied`, `refused`, …
    public var result: String
    /// The stable code of what failed; nil where it was done.
    public var code: String?
    /// For people; nil where there is nothing to add.
    public var message: String?

    public init(
        _ action: Action, result: String, at: Moment = .now, by actor: Actor = .current
    ) {
        self.action = action
        self.result = result
        self.at = at
        self.actor = actor
    }
}
