import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

/// One remote call, made by a thread that stands still.
struct RemoteCallInjection {
    let call: RemoteSystemCall
    let arguments: [UInt64]
    /// Placed beside the stub, where an argument may point to it.
    let bytesInMemory: [UInt8]
    let place: StubPlace

    enum Outcome {
        /// The thread stands at the end of the call, with its own registers again.
        case done(UInt64)
        /// The call was not made. The thread stands with its own registers, about to
        /// take that signal unless it is 0.
        case notNow(String, signal: Int32 = 0)
        /// It ended, or runs another program.
        case gone
        /// The call was not made; the thread stands as it did.
        case failed(LiveProcessError)
        /// It may be in the stub.
        case lost
    }

    /// Steps the thread through the stub. `native` is how it was found, and how it
    /// is left.
    func perform(
        by tracee: Tracee, _ native: Registers, in target: TargetProcess
    ) throws(Errno) -> Outcome {
        do throws(LiveProcessError) {
            try target.writeText(memory(native), at: place.stub, tracee: tracee)
        } catch {
            return .failed(error)
        }
        do throws(Errno) {
            try tracee.writeRegisters(entry(native))
            return try step(tracee, native)
        } catch {
            // ESRCH: killed. Should it live all the same, it may be in the stub.
            return .lost
        }
    }

    /// From the stub's entry through the call. As soon as the thread was resumed
    /// here, it must be waited for, however long a busy machine lets it wait: it
    /// may be in the stub.
    private func step(_ tracee: Tracee, _ native: Registers) throws(Errno) -> Outcome {
        try tracee.resume(CLINUX_SYSCALL)
        var event = tracee.wait(atMost: Self.callPatience)
        // Of a program that job control has stopped, seizing makes one stop and
        // PTRACE_INTERRUPT another, before anything runs (kernel/signal.c,
        // do_jobctl_trap). Let go, it is stopped again (__ptrace_unlink).
        if event == .stopped {
            try tracee.resume(CLINUX_SYSCALL)
            event = tracee.wait(atMost: Self.callPatience)
        }
        var registers = Registers()
        switch event {
        case .none: return .lost
        case .exec, .ended: return .gone
        // The thread takes what came before the call in its own state.
        case .stopped:
            try tracee.writeRegisters(native)
            return .notNow("was stopped")
        case .signal(let signal):
            try tracee.writeRegisters(native)
            return .notNow("received signal \(signal)", signal: signal)
        case .systemCall: try tracee.readRegisters(&registers)
        }
        guard registers.programCounter == place.stub.advanced(by: RemoteCallStub.afterCall),
            registers.systemCall == call.number
        else {
            try tracee.writeRegisters(native)
            return .notNow("made another call")
        }
        try tracee.resume(CLINUX_SYSCALL)
        guard tracee.wait(atMost: Self.callPatience) == .systemCall else { return .lost }
        try tracee.readRegisters(&registers)
        try tracee.writeRegisters(native)
        return .done(UInt64(bitPattern: registers.result))
    }

    /// 10 s: the call may wait for the target's page faults, and the thread for a
    /// processor.
    static let callPatience: UInt64 = 10_000_000_000

    /// What is written to the target: the stub, and the argument behind it.
    private func memory(_ native: Registers) -> [UInt8] {
        var saved = native
        if native.isInRestartableCall {
            // Back on its `syscall`, with the number again in rax: 219,
            // restart_syscall, where the kernel keeps the arguments itself.
            saved.raw.rip = native.raw.rip &- 2
            saved.raw.rax =
                native.result == RestartCode.restartBlock ? 219 : native.raw.orig_rax
        }
        let bytes =
            RemoteCallStub(restoring: saved, interrupted: UInt64(native.raw.rip)).bytes
            + bytesInMemory
        return bytes + [UInt8](repeating: 0, count: StubPlace.size - bytes.count)
    }

    private func entry(_ native: Registers) -> Registers {
        var registers = native
        if native.isInRestartableCall {
            registers.raw.rip = place.stub.rawValue &+ RemoteCallStub.afterCall
            registers.raw.orig_rax = call.number
            // Of this code the kernel would start restart_syscall, not our call.
            if native.result == RestartCode.restartBlock {
                registers.raw.rax = UInt64(bitPattern: RestartCode.restartNoHandler)
            }
        } else {
            registers.raw.rip = place.stub.rawValue
            registers.raw.orig_rax = .max
            registers.raw.rax = call.number
        }
        func argument(_ index: Int) -> UInt64 { index < arguments.count ? arguments[index] : 0 }
        registers.raw.rdi = argument(0)
        registers.raw.rsi = argument(1)
        registers.raw.rdx = argument(2)
        registers.raw.r10 = argument(3)
        registers.raw.r8 = argument(4)
        registers.raw.r9 = argument(5)
        return registers
    }
}
