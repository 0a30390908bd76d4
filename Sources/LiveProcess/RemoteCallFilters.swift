import Addresses
import CLinuxTrace
import SystemPackage

/// Why a thread's seccomp filters stand in the way of a call.
public enum SeccompObstacle: Sendable, Equatable {
    /// They do not permit the call of that name.
    case forbidden(String)
    /// They cannot be read (ptrace(2), PTRACE_SECCOMP_GET_FILTER).
    case unreadable(Errno)
    /// The patch has code that runs once, in whichever thread comes to it first and with
    /// calls of its own, which were judged for none.
    case unjudged
}

/// Remote calls of threads that run under seccomp filters: these are read, and run over
/// what the thread would do, before it does anything.
extension RemoteCallRequest {
    /// Whether filters are to be judged before the thread makes the call.
    func isFiltered(_ thread: ThreadID, in target: TargetProcess) throws(LiveProcessError) -> Bool {
        guard seccomp == .refuse, let text = try? target.contents("task/\(thread)/status"),
            let facts = ProcessFacts(parsing: text)
        else { return false }
        return facts.seccompMode != 0
    }

    /// Throws `seccomp` where filters of the held thread forbid the call. Returns true
    /// where it has none, and nobody else is there who could give it one.
    func checkFilters(
        of held: HeldThread, in target: TargetProcess
    ) throws(LiveProcessError) -> Bool {
        if try isFiltered(held.id, in: target) {
            if let obstacle = obstacle(for: held.tracee) {
                throw .seccomp(target.id, thread: held.id, obstacle)
            }
            return false
        }
        return try target.facts().threadCount == 1
    }

    /// What keeps a thread that stands still from making the call; nil where nothing
    /// does. Strict mode has no filters that could be read.
    func obstacle(for tracee: Tracee) -> SeccompObstacle? {
        let filters: SeccompFilters
        do throws(Errno) { filters = try SeccompFilters(of: tracee) } catch {
            return .unreadable(error)
        }
        return judgedCalls.first { !filters.permit($0) }.map { .forbidden($0.name) }
    }

    /// The call, and before the first of those that bring a patch all the others, so
    /// that nothing is left half done.
    private var judgedCalls: [FilteredCall] {
        let own = judged(injection.call, injection.arguments)
        guard own.number == RemoteSystemCall.memfdCreate.number else { return [own] }
        let (place, size) = (injection.place.stub.rawValue & ~0xfff, UInt64(4096))
        let descriptor: UInt64 = 3
        let mappings = [RemoteProtection.read, [.read, .write], [.read, .execute]].map {
            judged(.mmap, [place, size, $0.rawValue, RemoteCalls.privateAndFixed, descriptor, 0])
        }
        return [own] + mappings + [judged(.close, [descriptor]), judged(.munmap, [place, size])]
    }

    private func judged(_ call: RemoteSystemCall, _ arguments: [UInt64]) -> FilteredCall {
        FilteredCall(
            number: UInt32(truncatingIfNeeded: call.number), name: call.name, arguments: arguments,
            instruction: injection.place.stub.rawValue &+ RemoteCallStub.afterCall)
    }
}
