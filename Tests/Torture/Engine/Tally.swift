import Switchover

/// What has been done and seen.
public struct Tally: Sendable {
    public internal(set) var kills = 0
    /// Operations that ended before they were killed, or were not to be.
    public internal(set) var completed = 0
    /// Operations that gave up because threads were in the way for too long.
    public internal(set) var refused = 0
    /// How often a thread was in a stub when everything else was put right.
    public internal(set) var stubsKept = 0
    /// Blocking calls that returned EINTR.
    public internal(set) var interrupted: [String: Int] = [:]
    public private(set) var phases: [String: [SwitchPhase?: Int]] = [:]

    public init() {}

    mutating func note(_ operation: Operation, _ phase: SwitchPhase?) {
        kills += 1
        phases[operation.kind, default: [:]][phase, default: 0] += 1
    }

    public mutating func add(_ other: Tally) {
        kills += other.kills
        completed += other.completed
        refused += other.refused
        stubsKept += other.stubsKept
        interrupted.merge(other.interrupted, uniquingKeysWith: +)
        for (operation, counts) in other.phases {
            phases[operation, default: [:]].merge(counts, uniquingKeysWith: +)
        }
    }

    /// How often the worker was killed in that phase, whatever it was doing.
    public func kills(in phase: SwitchPhase) -> Int {
        phases.values.reduce(0) { $0 + ($1[phase] ?? 0) }
    }

    /// The table of phases, and the sums.
    public var text: String {
        let operations = ["apply", "revert", "revert --all", "recover"]
        func row(_ title: String, _ cells: [String]) -> String {
            let padded = cells.map { String(repeating: " ", count: max(0, 13 - $0.count)) + $0 }
            return title + String(repeating: " ", count: max(0, 16 - title.count)) + padded.joined()
        }
        var lines = [row("killed in", operations)]
        for phase in [nil] + SwitchPhase.allCases {
            let counts = operations.map { phases[$0]?[phase] ?? 0 }
            let title = phase.map { "\($0)" } ?? "before / tidying"
            lines.append(row(title, counts.map { $0 == 0 ? "-" : "\($0)" }))
        }
        let calls = interrupted.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        lines.append("kills           \(kills)")
        lines.append("completed       \(completed), \(refused) gave up waiting")
        lines.append("stubs kept      \(stubsKept), each until the thread in it had left")
        lines.append(
            "calls that saw one EINTR: \(calls.isEmpty ? "none" : calls.joined(separator: ", "))")
        return lines.joined(separator: "\n")
    }
}
