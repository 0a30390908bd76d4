/// How far a switch has come: what it is doing, in the order of the work. For
/// tests that interrupt it, and for measurements.
public enum SwitchPhase: UInt8, CaseIterable, Sendable {
    case looking = 1
    case linking
    case mapping
    case filling
    case noting
    /// Threads are being stopped and judged.
    case stopping
    /// All threads stand still from here on.
    case comparing
    case writingIslands
    case writingStubs
    case deciding
    case writingJumps
    case writingPadding
    /// The threads are let go.
    case releasing
    case tidying
    case done
}
