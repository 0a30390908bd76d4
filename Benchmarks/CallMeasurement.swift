import Glibc

/// What a call costs, in ns, before, through the detour, and after.
enum CallMeasurement {
    static func run(seconds: Double, tools: Tools, report: Report) throws {
        report.progress("the cost of a call")
        let victim = try Victim("calls", [], tools: tools)
        let target = ["--pid", "\(victim.pid)"]
        func cost(step: UInt64) throws -> Double {
            Double(try victim.during(answer: step) { usleep(UInt32(seconds * 1e6)) }) / 1000
        }
        let before = try cost(step: 1)
        _ = try Run([tools.hotpatch, "apply", victim.patch] + target)
        let patched = try cost(step: 2)
        _ = try Run([tools.hotpatch, "revert", "calls"] + target)
        let after = try cost(step: 1)

        report.heading("One call, ns: the least of batches of a million")
        report.table([
            ["unpatched", "through the detour", "reverted"],
            [before.fixed(2), patched.fixed(2), after.fixed(2)],
        ])
    }
}
