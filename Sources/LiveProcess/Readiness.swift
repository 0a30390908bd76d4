import SystemPackage

/// What would keep a process from being worked on, asked before anything is
/// done. Only the first thread is asked here; what holds for another one is
/// found when it is to be stopped.
extension TargetProcess {
    /// Throws `alreadyTraced` where a debugger or another tracer holds it; not where
    /// the calling OS thread does, by a ``HeldThread``.
    public func requireUntraced() throws(LiveProcessError) {
        if held != nil { return }
        guard let tracer = try facts().tracer else { return }
        let name = TargetProcess.nameOfTask(tracer)
        throw .alreadyTraced(id, thread: ThreadID(rawValue: id.rawValue), by: tracer, name: name)
    }

    /// Throws `dumpingCore` where its core is being written (core(5)). To ask such a
    /// process to stop would be in vain, and would cut off a core that goes to a pipe.
    public func requireNoCoreDump() throws(LiveProcessError) {
        // A held thread stands elsewhere.
        if held != nil { return }
        guard try facts().isDumpingCore else { return }
        throw .dumpingCore(id)
    }

    /// Throws `seccomp` where any of its threads runs under a filter: so it must be where
    /// the program is to run code of a patch that makes calls of its own, in whichever
    /// thread comes to it.
    public func requireNoSeccompFilter() throws(LiveProcessError) {
        for thread in try threads() {
            // One that has ended is under none.
            guard let facts = try? facts(of: thread), facts.seccompMode != 0 else { continue }
            throw .seccomp(id, thread: thread, .unjudged)
        }
    }
}
