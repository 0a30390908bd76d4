import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

/// Several system calls that a thread which stands at its exec makes before it stops
/// once. Where the tool dies meanwhile, the thread goes on as if nothing had been.
struct HeldRun {
    private let held: HeldThread
    private let standing: StandingFacts
    private let target: TargetProcess
    /// Where the code goes.
    let place: RemoteAddress
    private let signal: Int32

    /// Where an argument in memory goes.
    var text: RemoteAddress { RemoteAddress(rawValue: place.rawValue &+ UInt64(HeldRunStub.text)) }

    /// nil where the thread may have begun to run its program, or runs under a filter of
    /// system calls, or has all the signals blocked that could serve.
    init?(in target: TargetProcess, at place: RemoteAddress) throws(LiveProcessError) {
        guard let held = target.held, let standing = target.standing else { return nil }
        let facts = try target.facts()
        guard facts.seccompMode == 0, facts.threadCount == 1,
            let signal = Self.signals.first(where: { facts.blockedSignals & 1 << ($0 - 1) == 0 })
        else { return nil }
        (self.held, self.standing, self.target) = (held, standing, target)
        (self.place, self.signal) = (place, signal)
    }

    /// What nobody is told of who has not asked for it (signal(7)).
    private static let signals = [SIGWINCH, SIGURG, SIGCHLD]

    /// Makes the calls, one after the other whatever they answer.
    ///
    /// - Returns: what each has answered.
    ///
    /// Throws `ended` or `lostDuringCall`, or what keeps the code from being written.
    func perform(
        _ calls: [HeldRunStub.Call], text: [UInt8] = []
    ) throws(LiveProcessError) -> [Int64] {
        standing.forgetMappings()
        let native = try held.registers()
        guard native.isLongMode else { throw .foreignProgram(target.id, found: "32-bit code") }
        let stub = HeldRunStub(calls, text: text, signal: signal, restoring: native)
        try target.writeText(stub.bytes, at: place, tracee: held.tracee)
        do throws(Errno) {
            var entry = native
            entry.raw.rip = place.rawValue
            entry.raw.orig_rax = .max  // in no system call
            try held.tracee.writeRegisters(entry)
            try held.tracee.resume(CLINUX_CONTINUE)
            let results = try awaitEnd()
            // It went through the end of its execve, which has put 0 into rax, as it was.
            _ = standing.leaveExec()
            try held.tracee.writeRegisters(native)
            return Array(results.suffix(calls.count))
        } catch .noSuchProcess {
            throw .ended(target.id)
        } catch {
            throw .lostDuringCall(target.id, name: "mmap")
        }
    }

    /// What the last four calls have answered, when the thread has stopped behind them.
    /// It takes the signals of others that come meanwhile: it has no handlers yet.
    ///
    /// Throws `noSuchProcess` where it has ended, and `timedOut`.
    private func awaitEnd() throws(Errno) -> [Int64] {
        let tracee = held.tracee
        while true {
            switch tracee.wait(atMost: RemoteCallInjection.callPatience) {
            case .none: throw .timedOut
            case .ended, .exec: throw .noSuchProcess
            case .stopped, .systemCall: try tracee.pass(0, CLINUX_CONTINUE)
            case .signal(let number):
                var registers = Registers()
                try tracee.readRegisters(&registers)
                let raw = registers.raw
                if number == signal, raw.rip == place.rawValue &+ HeldRunStub.end {
                    return [raw.r12, raw.r13, raw.r14, raw.r15]
                        .map { Int64(bitPattern: UInt64($0)) }
                }
                try tracee.pass(number, CLINUX_CONTINUE)
            }
        }
    }
}

extension RemoteCalls {
    /// Gives the target a file in memory and maps it, as ``createMemoryFile(named:)``,
    /// ``map(_:_:from:at:)`` and ``close(_:)`` do, but with two stops of the thread that
    /// is held instead of two for each call.
    ///
    /// - Parameters:
    ///   - parts: ranges one behind the other, which lie in the file as they do in memory;
    ///     at most three.
    ///   - fill: gives the file its contents.
    /// - Returns: false where it cannot be done so, or the target was refused something:
    ///   nothing is left then, and the calls by themselves tell why.
    public mutating func mapMemoryFile(
        named name: String, as parts: [(AddressRange<RemoteAddress>, RemoteProtection)],
        filled fill: (RemoteMemoryFile) throws(LiveProcessError) -> Void
    ) throws(LiveProcessError) -> Bool {
        guard let run = try heldRun(), parts.count < HeldRunStub.mostCalls else { return false }
        let shown = Array(name.utf8.prefix(HeldRunStub.textSize - 1))
        let created = try perform(
            [
                HeldRunStub.Call(
                    number: UInt32(RemoteSystemCall.memfdCreate.number), first: run.text.rawValue,
                    rest: [UInt32(Self.memoryFileFlags | Self.executableFile)])
            ], text: shown + [0], in: run)
        guard let number = created.first.flatMap(UInt32.init(exactly:)), number <= Int32.max else {
            return false
        }
        let file = RemoteMemoryFile(
            RemoteDescriptor(rawValue: Int32(number)), name: String(decoding: shown, as: UTF8.self))
        do throws(LiveProcessError) {
            try fill(file)
        } catch {
            try close(file)
            throw error
        }
        let calls = Self.calls(mapping: parts, from: number)
        let results = try perform(calls, text: [], in: run).map { UInt64(bitPattern: $0) }
        let mapped = zip(parts, results).map { part, result in
            AddressRange(start: RemoteAddress(rawValue: result), count: part.0.count)
        }
        if mapped == parts.map(\.0) { return true }
        // An error number near the end of memory gives no range; a kernel before 4.17 takes
        // the address for a wish.
        for range in mapped.compactMap(\.self) { try unmap(range) }
        return false
    }

    /// Mappings of the file, one behind the other in it, and its end.
    private static func calls(
        mapping parts: [(AddressRange<RemoteAddress>, RemoteProtection)], from file: UInt32
    ) -> [HeldRunStub.Call] {
        var offset: UInt64 = 0
        var calls: [HeldRunStub.Call] = []
        for (range, protection) in parts {
            calls.append(
                HeldRunStub.Call(
                    number: UInt32(RemoteSystemCall.mmap.number), first: range.start.rawValue,
                    rest: [
                        UInt32(truncatingIfNeeded: range.count),
                        UInt32(truncatingIfNeeded: protection.rawValue),
                        UInt32(privateAndFixed), file, UInt32(truncatingIfNeeded: offset),
                    ]))
            offset += range.count
        }
        calls.append(
            HeldRunStub.Call(
                number: UInt32(RemoteSystemCall.close.number), first: UInt64(file), rest: []))
        return calls
    }
}
