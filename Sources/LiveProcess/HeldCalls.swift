import CLinuxTrace
import SystemPackage

/// Remote calls of a process that the calling OS thread holds: the held thread makes
/// them where it stands, and stands there again afterwards.
///
/// It stands at the end of a system call. The kernel has nothing left to do then but
/// to return to the program, so what is in the registers is what runs next; before
/// the end of an execve it would still put the call's result over rax.
extension RemoteCallRequest {
    func perform(
        by held: HeldThread, in target: TargetProcess
    ) throws(LiveProcessError) -> UInt64 {
        try held.leadOutOfExec()
        let outcome: Result<UInt64, LiveProcessError>
        do throws(Errno) {
            if seccomp == .suspend {
                try held.tracee.set(options: Tracee.options | Self.suspendSeccomp)
            }
            outcome = try attempts(by: held, in: target)
            // A thread that is gone has no filter to give back.
            if seccomp == .suspend { try? held.tracee.set(options: Tracee.options) }
        } catch {
            throw target.failure(error, "make a call in")
        }
        return try outcome.get()
    }

    private func attempts(
        by held: HeldThread, in target: TargetProcess
    ) throws(Errno) -> Result<UInt64, LiveProcessError> {
        var reason = ""
        held.standing?.forgetMappings()
        for _ in 0..<Self.attempts {
            var native = Registers()
            try held.tracee.readRegisters(&native)
            guard native.isLongMode else {
                return .failure(.foreignProgram(target.id, found: "32-bit code"))
            }
            var signal: Int32 = 0
            if native.isInRestartableCall {
                reason = "its call is to be restarted"
            } else {
                switch try injection.perform(by: held.tracee, native, in: target) {
                case .done(let result): return .success(result)
                case .failed(let error): return .failure(error)
                case .gone: return .failure(.ended(target.id))
                case .lost:
                    return .failure(.lostDuringCall(target.id, name: injection.call.name))
                case .notNow(let why, let arrived):
                    reason = why
                    signal = arrived
                }
            }
            // It takes what has come, and makes the call at the end of its own next one.
            held.standing?.end()
            try held.tracee.resume(CLINUX_SYSCALL, signal: signal)
            switch try held.awaitCallEnd(atMost: 1_000_000_000) {
            case .call: continue
            case .ended: return .failure(.ended(target.id))
            case .exec: return .failure(.programChanged(target.id))
            case .slow: return .failure(.noThreadForCall(target.id, reason: "it \(reason)"))
            }
        }
        return .failure(
            .noThreadForCall(target.id, reason: "thread \(held.id) \(reason), again and again"))
    }
}
