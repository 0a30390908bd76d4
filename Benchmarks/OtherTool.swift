import Glibc

/// What else can stop a program, write a few bytes and let it go, measured on the
/// same victim.
struct OtherTool {
    let name: String
    /// The largest gap of a running thread, in µs.
    var gap = Sample()
    /// Said once where it could not be measured.
    var remark: String?

    static func measure(
        _ victim: Victim, runs: Int, tools: Tools, progress: (String) -> Void
    ) throws -> [OtherTool] {
        var signals = OtherTool(name: "SIGSTOP, SIGCONT")
        for run in 0..<runs {
            progress("SIGSTOP, \(run) of \(runs)")
            signals.gap.add(
                Double(try victim.during(answer: 1) { try stopBySignal(victim) }) / 1000)
        }
        var debugger = OtherTool(name: "gdb: attach, write, detach")
        do {
            _ = try Run(["gdb", "--version"])
        } catch {
            debugger.remark = "gdb is not installed, so there is no figure for it."
            return [signals, debugger]
        }
        for run in 0..<runs {
            progress("gdb, \(run) of \(runs)")
            let gap = try victim.during(answer: 1) {
                // Its own bytes: what counts is the time that it takes.
                _ = try Run([
                    "gdb", "-p", "\(victim.pid)", "-batch", "-nx", "-ex",
                    "set {long}answer = {long}answer", "-ex", "detach",
                ])
            }
            debugger.gap.add(Double(gap) / 1000)
        }
        return [signals, debugger]
    }

    /// SIGSTOP, wait until all threads have stopped, SIGCONT.
    private static func stopBySignal(_ victim: Victim) throws {
        kill(victim.pid, SIGSTOP)
        defer { kill(victim.pid, SIGCONT) }
        // The process counts as stopped when the last of its threads has.
        var information = unsafe siginfo_t()
        guard unsafe waitid(P_PID, id_t(victim.pid), &information, WSTOPPED) == 0 else {
            throw BenchError(errno: errno, "waiting for the victim to stop")
        }
    }
}
