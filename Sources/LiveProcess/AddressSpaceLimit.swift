import CLinuxTrace
import Glibc
import SystemPackage

/// The target's limit of address space (RLIMIT_AS), lifted for a moment.
struct AddressSpaceLimit {
    private let target: TargetProcess
    private let before: rlimit
    private static let resource: Int32 = 9  // RLIMIT_AS

    /// Raises the soft limit to the hard one.
    static func raise(of target: TargetProcess) throws(LiveProcessError) -> AddressSpaceLimit {
        var before = rlimit()
        try check(target, unsafe clinux_limit(target.id.rawValue, resource, nil, &before))
        var raised = before
        raised.rlim_cur = before.rlim_max
        try check(target, unsafe clinux_limit(target.id.rawValue, resource, &raised, nil))
        return AddressSpaceLimit(target: target, before: before)
    }

    /// Puts the soft limit back. Where the target has ended there is nothing to put.
    func restore() {
        var limit = before
        _ = unsafe clinux_limit(target.id.rawValue, Self.resource, &limit, nil)
    }

    private static func check(_ target: TargetProcess, _ result: Int32) throws(LiveProcessError) {
        if result < 0 {
            throw target.failure(Errno(rawValue: -result), "raise the address space limit of")
        }
    }
}
