import SystemPackage

/// What would keep a process from being worked on, asked before anything is
/// done. Only the first thread is asked here; what holds for another one is
/// found when it is to be stopped.
extension TargetProcess {
    /// Throws `alreadyTraced` where a debugger or another tracer holds it.
    public func requireUntraced() throws(LiveProcessError) {
        guard let tracer = try facts().tracer else { return }
        let name = TargetProcess.nameOfTask(tracer)
        throw .alreadyTraced(id, thread: ThreadID(rawValue: id.rawValue), by: tracer, name: name)
    }

    /// Throws `seccomp` where it runs under a filter.
    public func requireNoSeccompFilter() throws(LiveProcessError) {
        guard try facts().seccompMode == 0 else {
            throw .seccomp(id, thread: ThreadID(rawValue: id.rawValue))
        }
    }
}
