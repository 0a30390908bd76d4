import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

/// A file in memory that a thread which stands at its exec maps before it stops once.
/// Where the tool dies meanwhile, the thread goes on as if nothing had been.
struct HeldRun {
    private let held: HeldThread
    private let standing: StandingFacts
    private let target: TargetProcess
    /// Where the code goes.
    let place: RemoteAddress
    private let signal: Int32

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

    /// Makes the file, maps it, and closes it.
    ///
    /// - Parameter parts: at most three.
    /// - Returns: what mmap(2) has answered for each.
    ///
    /// Throws `ended` or `lostDuringCall`, or what keeps the code from being written.
    func perform(
        mapping parts: [HeldRunStub.Part], ofFileNamed name: [UInt8], flags: UInt32
    ) throws(LiveProcessError) -> [UInt64] {
        standing.forgetMappings()
        let native = try held.registers()
        guard native.isLongMode else { throw .foreignProgram(target.id, found: "32-bit code") }
        let stub = HeldRunStub(
            mapping: parts, ofFileNamed: name, flags: flags, signal: signal, restoring: native)
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
            return results.suffix(parts.count)
        } catch .noSuchProcess {
            throw .ended(target.id)
        } catch {
            throw .lostDuringCall(target.id, name: "mmap")
        }
    }

    /// What the last mappings have answered, when the thread has stopped behind them.
    /// It takes the signals of others that come meanwhile: it has no handlers yet.
    ///
    /// Throws `noSuchProcess` where it has ended, and `timedOut`.
    private func awaitEnd() throws(Errno) -> [UInt64] {
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
                    return [raw.r13, raw.r14, raw.r15].map { UInt64($0) }
                }
                try tracee.pass(number, CLINUX_CONTINUE)
            }
        }
    }
}

extension RemoteCalls {
    /// Gives the target a file in memory and maps it, as ``createMemoryFile(named:)``,
    /// ``map(_:_:from:at:)`` and ``close(_:)`` do, but with one stop of the thread that is
    /// held instead of two for each call. The file is filled afterwards.
    ///
    /// - Parameter parts: ranges one behind the other, which lie in the file as they do in
    ///   memory; at most three.
    /// - Returns: nil where it cannot be done so, or the target was refused something:
    ///   nothing is left then, and the calls by themselves tell why.
    public mutating func mapMemoryFile(
        named name: String, as parts: [(AddressRange<RemoteAddress>, RemoteProtection)]
    ) throws(LiveProcessError) -> MappedMemoryFile? {
        guard let first = parts.first?.0, let run = try heldRun(),
            parts.count <= HeldRunStub.mostParts
        else { return nil }
        let shown = Array(name.utf8.prefix(HeldRunStub.nameSize - 1))
        let results = try perform(
            run, mapping: Self.parts(of: parts), ofFileNamed: shown,
            flags: UInt32(Self.memoryFileFlags | Self.executableFile))
        let mapped = zip(parts, results).map { part, result in
            AddressRange(start: RemoteAddress(rawValue: result), count: part.0.count)
        }
        if mapped == parts.map(\.0) {
            return MappedMemoryFile(start: first, name: String(decoding: shown, as: UTF8.self))
        }
        // An error number near the end of memory gives no range; a kernel before 4.17 takes
        // the address for a wish.
        for range in mapped.compactMap(\.self) { try unmap(range) }
        return nil
    }

    private static func parts(
        of parts: [(AddressRange<RemoteAddress>, RemoteProtection)]
    ) -> [HeldRunStub.Part] {
        var offset: UInt64 = 0
        return parts.map { range, protection in
            defer { offset += range.count }
            return HeldRunStub.Part(
                start: range.start.rawValue, count: UInt32(truncatingIfNeeded: range.count),
                protection: UInt32(truncatingIfNeeded: protection.rawValue),
                offset: UInt32(truncatingIfNeeded: offset))
        }
    }
}
