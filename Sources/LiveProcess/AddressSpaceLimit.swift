import CLinuxTrace
import Glibc
import SystemPackage

/// The target's limit of address space (RLIMIT_AS), lifted for a moment.
///
/// While it is lifted the target has a file in memory open whose name tells what
/// the limit was: a run that is killed then leaves the next one a note.
struct AddressSpaceLimit {
    static let notePrefix = "hotpatch-limit:"
    private static let resource: Int32 = 9  // RLIMIT_AS

    private let target: TargetProcess
    private let found: rlimit

    init(of target: TargetProcess) throws(LiveProcessError) {
        self.target = target
        var found = rlimit()
        try Self.check(target, unsafe clinux_limit(target.id.rawValue, Self.resource, nil, &found))
        self.found = found
    }

    /// Whether there is a soft limit below the hard one.
    var canBeLifted: Bool { found.rlim_cur < found.rlim_max }

    /// What the file in memory is called.
    var note: String { "\(Self.notePrefix)\(found.rlim_cur)" }

    /// Raises the soft limit to the hard one.
    func lift() throws(LiveProcessError) { try set(soft: found.rlim_max) }

    /// Puts the soft limit back. Where the target has ended there is nothing to put.
    func restore() { try? set(soft: found.rlim_cur) }

    /// Does what `restore` of a killed run would have done, where the limit is still
    /// lifted. The program may have written the note itself; then it does to itself
    /// what it could do anyway.
    func restore(from note: RemoteMemoryFile) throws(LiveProcessError) {
        let text = note.linkText.dropFirst("/memfd:\(Self.notePrefix)".count).prefix { $0 != " " }
        guard !canBeLifted, let soft = rlim_t(text), soft < found.rlim_max else { return }
        try set(soft: soft)
    }

    private func set(soft: rlim_t) throws(LiveProcessError) {
        var limit = rlimit(rlim_cur: soft, rlim_max: found.rlim_max)
        try Self.check(target, unsafe clinux_limit(target.id.rawValue, Self.resource, &limit, nil))
    }

    private static func check(_ target: TargetProcess, _ result: Int32) throws(LiveProcessError) {
        if result < 0 {
            throw target.failure(Errno(rawValue: -result), "set the address space limit of")
        }
    }
}

extension TargetProcess {
    /// The notes of killed runs that had lifted the limit of address space.
    public func notesOfLiftedLimits() throws(LiveProcessError) -> [RemoteMemoryFile] {
        try memoryFiles(namedWithPrefix: AddressSpaceLimit.notePrefix)
    }

    /// Puts the limit of address space back to what a note says.
    public func restoreLimit(from note: RemoteMemoryFile) throws(LiveProcessError) {
        try AddressSpaceLimit(of: self).restore(from: note)
    }
}
