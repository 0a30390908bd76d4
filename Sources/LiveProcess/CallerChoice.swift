import CLinuxTrace
import SystemPackage

/// Chooses the thread that makes a remote call.
///
/// Best is one asleep in a call that the kernel restarts by itself: it notices
/// nothing, and no running thread loses time. /proc/PID/task/TID/syscall tells
/// without a stop.
struct CallerChoice {
    /// How well a thread is suited; less is better.
    private enum Rank: Int, Comparable {
        case asleepAndRestartable, asleep, running, interrupted
        static func < (left: Rank, right: Rank) -> Bool { left.rawValue < right.rawValue }
    }

    /// The best thread that is not in `excluded`; nil where none is left.
    static func choose(
        in target: TargetProcess, excluding excluded: Set<ThreadID>
    ) throws(LiveProcessError) -> ThreadID? {
        var best: (thread: ThreadID, rank: Rank)?
        do throws(Errno) {
            var tasks = try TaskList(of: target)
            for thread in try tasks.read() where !excluded.contains(thread) {
                guard let rank = rank(of: thread, tasks, target) else { continue }
                if rank == .asleepAndRestartable { return thread }
                if best.map({ rank < $0.rank }) ?? true { best = (thread, rank) }
            }
        } catch {
            throw target.failure(error, "list the threads of")
        }
        return best?.thread
    }

    /// nil where the thread is of no use: dead, gone, or not to be interrupted.
    private static func rank(
        of thread: ThreadID, _ tasks: borrowing TaskList, _ target: TargetProcess
    ) -> Rank? {
        guard let stat = tasks.taskStat(of: thread), !stat.isKernelWorker else { return nil }
        switch stat.state {
        case .dead, .uninterruptible: return nil
        case .running: return .running
        case .sleeping, .stopped, .traced: break
        }
        guard let text = try? target.contents("task/\(thread)/syscall") else { return .running }
        var cursor = TextCursor(text)
        // "running", or "-1 SP PC" where it sleeps outside of any call.
        guard let call = cursor.number() else { return .running }
        switch call {
        // poll, select, pause, nanosleep, wait4, futex, clock_nanosleep, waitid,
        // pselect6, ppoll
        case 7, 23, 34, 35, 61, 202, 230, 247, 270, 271: return .asleepAndRestartable
        // connect, and the calls that a stop alone interrupts: Registers.hideInterruption
        case 42, 232, 281, 441, 128, 65, 220, 208, 333, 426: return .interrupted
        // vfork, clone and clone3 wait where they cannot be stopped.
        case 56, 58, 435: return nil
        default: return .asleep
        }
    }
}
