import LiveProcess
import PatchFile
import PatchLinker
import SystemPackage

/// Switching patches in and out of processes.
public enum Switchover {
    /// The payloads in a process, applied or not.
    public static func status(
        of process: TargetProcess
    ) throws(SwitchoverError) -> [AppliedPatch] {
        try stack(of: process).patches
    }

    /// The processes that have a payload.
    public static func patchedProcesses() throws(Errno) -> ProcessSearch {
        try ProcessSearch.matching { process throws(LiveProcessError) in
            let found = try process.payloads(in: try process.memoryMap())
            return !found.present.isEmpty || !found.damaged.isEmpty
        }
    }

    /// The processes in which an interrupted run has left anything behind.
    public static func interruptedProcesses() throws(Errno) -> ProcessSearch {
        try ProcessSearch.matching { process throws(LiveProcessError) in
            let stack = try PatchStack(of: process, in: try process.memoryMap())
            if stack.hasOpenJournal || !stack.damaged.isEmpty { return true }
            let leftovers = try Leftovers(in: process)
            return !leftovers.isEmpty
        }
    }

    /// The processes in which a patch of that name, or any, is switched in.
    public static func processes(patchedWith name: String?) throws(Errno) -> ProcessSearch {
        try ProcessSearch.matching { process throws(LiveProcessError) in
            try PatchStack(of: process, in: try process.memoryMap()).patches.contains {
                $0.state.isSwitchedIn && (name == nil || $0.record.name == name)
            }
        }
    }
}
