/// Real-time priority, by which threads stand still for as short as possible.
extension MachineFacts {
    var priorityFindings: [Finding] {
        let id = "priority.trial"
        let title = "real-time priority, tried"
        guard case .success(let trial) = priority else {
            return [
                Finding(
                    id, title, found: "not tried", .limits, for: .apply,
                    meaning: "no process could be started for the trial")
            ]
        }
        guard let failure = firstFailure(of: trial, in: [.set]) else {
            return [
                Finding(
                    id, title, found: "works", for: .apply,
                    meaning: "under load, threads stand still as short as without")
            ]
        }
        return [
            Finding(
                id, title, found: failure.text + shares, .limits, for: .apply,
                meaning: "under load, threads may stand still for longer while a patch is switched",
                remedy: priorityRemedy)
        ]
    }

    /// What may be behind it.
    private var shares: String {
        var causes: [String] = []
        if !capabilities.contains(.priority), priorityLimit == 0 {
            causes.append("RLIMIT_RTPRIO 0")
        }
        if groupRealTimeShare.number == 0 { causes.append("cpu.rt_runtime_us 0") }
        if realTimeShare.number == 0 { causes.append("sched_rt_runtime_us 0") }
        return causes.isEmpty ? "" : " (\(causes.joined(separator: ", ")))"
    }

    private var priorityRemedy: String {
        if realTimeShare.number == 0 { return "sudo sysctl kernel.sched_rt_runtime_us=950000" }
        if capabilities.contains(.priority), groupRealTimeShare.number == 0 {
            return "give the group a share: echo 100000 > /sys/fs/cgroup/cpu/…/cpu.rt_runtime_us"
        }
        return isRoot ? remedy(for: .priority) : "sudo hotpatch …, or ulimit -r 1"
    }
}
