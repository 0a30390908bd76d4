import Glibc
import LiveProcess
import SystemPackage

/// Which programs run, looked at again and again where the kernel does not ask.
struct ProgramSightings {
    /// The program of each process, by its file.
    private var programs: [ProcessID: FileIdentity] = [:]
    private var librariesDue: UInt64 = 0

    /// The processes that are new, or run another program than at the last look.
    mutating func look() -> [ProcessID] {
        guard let processes = try? ProcessSearch.allProcesses() else { return [] }
        var now: [ProcessID: FileIdentity] = [:]
        var changed: [ProcessID] = []
        for process in processes where process.rawValue != getpid() {
            var facts = stat()
            // Kernel threads have none, and what just ended needs none.
            guard unsafe stat("/proc/\(process)/exe", &facts) == 0 else { continue }
            let program = FileIdentity(facts)
            if programs[process] != program { changed.append(process) }
            now[process] = program
        }
        programs = now
        return changed
    }

    /// Whether everything that runs is to be looked at for libraries that it has loaded
    /// since.
    mutating func areLibrariesDue(now: UInt64) -> Bool {
        guard now >= librariesDue else { return false }
        librariesDue = now &+ UInt64(WatchMode.pollingLibraries) * 1_000_000_000
        return true
    }
}
