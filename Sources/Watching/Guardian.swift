import CFanotify
import Glibc
import LiveProcess
import SystemPackage

/// A second process that kills this one where it no longer answers.
///
/// A program that is stopped, held by a debugger or swapped out cannot end itself, and
/// the kernel would wait for its answers.
@safe struct Guardian: ~Copyable {
    /// How often this process shows that it is well, in milliseconds.
    static let interval: Int32 = 250
    /// After how many milliseconds without that it is killed.
    static let limit: Int32 = 1000

    private let guardian: cfanotify_guardian

    /// Starts it. The calling thread must be the only one of the process, and outlive
    /// all others. Throws what fork(2) answers.
    init() throws(Errno) {
        var guardian = unsafe cfanotify_guardian()
        let result = unsafe cfanotify_start_guardian(Self.interval, Self.limit, &guardian)
        if result < 0 { throw Errno(rawValue: -result) }
        unsafe self.guardian = unsafe guardian
    }

    /// Readable when the guardian has ended, for poll(2).
    var descriptor: Int32 { unsafe guardian.process }

    var process: ProcessID { ProcessID(rawValue: unsafe guardian.pid) }

    /// Shows that this process is well. From the first time on that has to go on.
    func beat() { unsafe withUnsafePointer(to: guardian) { unsafe cfanotify_beat($0) } }

    /// Milliseconds since the guardian was at its work.
    var silence: Int64 {
        unsafe withUnsafePointer(to: guardian) { unsafe cfanotify_guardian_silence($0) }
    }
}
