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
}
