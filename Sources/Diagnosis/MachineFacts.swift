import Glibc
import PatchStore
import SystemPackage

/// Everything that is read from this machine or tried on it. What it means is
/// judged elsewhere, from this value alone.
struct MachineFacts: Sendable {
    var kernel: KernelVersion
    /// /proc/cmdline.
    var commandLine: KernelSetting
    /// What the kernel was built with, where /boot says so: `CONFIG_…=y` lines about
    /// writing through /proc/PID/mem.
    var memoryWriteConfig: String?

    /// Effective.
    var userID: UInt32
    var capabilities: CapabilitySet
    /// 0 none, 1 strict, 2 a filter, as for the tool itself.
    var seccompMode: Int
    var userNamespace: NamespaceKind
    var pidNamespace: NamespaceKind
    var mountNamespace: NamespaceKind

    var ptraceScope: KernelSetting
    /// SELinux's switch against all tracing.
    var denyPtrace: KernelSetting
    var securityModules: KernelSetting
    var lockdown: KernelSetting
    /// vm.memfd_noexec
    var memfdPolicy: KernelSetting
    /// kernel.randomize_va_space
    var randomization: KernelSetting

    /// RLIMIT_RTPRIO, the soft limit.
    var priorityLimit: UInt64
    /// kernel.sched_rt_runtime_us
    var realTimeShare: KernelSetting
    /// The same for the tool's group, where the kernel has such groups.
    var groupRealTimeShare: KernelSetting

    var directories: [DirectoryFacts]
    /// CONFIG/disabled, which keeps the service from running.
    var isDisabledByFile: Bool
    var service: ServiceState
    /// The program that `build` runs, where there is one.
    var compiler: String?

    var memory: Attempt<MemoryStep>
    var trace: Attempt<TraceStep>
    var payload: Attempt<PayloadStep>
    var priority: Attempt<PriorityStep>
    var execHold: Attempt<ExecHoldStep>
    /// The same where the program is the interpreter of a script.
    var interpreterHold: Attempt<ExecHoldStep>
}

/// A trial, or why it could not be made.
typealias Attempt<Step: TrialStep> = Result<Trial<Step>, Errno>

/// Whether the tool sees what the machine's first process sees.
enum NamespaceKind: Equatable, Sendable {
    case initial
    case other
    case unknown
}

extension MachineFacts {
    static func read(_ places: Locations) -> MachineFacts {
        let status = ProcessStatusText(KernelSetting(reading: "/proc/self/status"))
        let kernel = KernelVersion.running()
        let trials = ExecTrials()
        return MachineFacts(
            kernel: kernel,
            commandLine: KernelSetting(reading: "/proc/cmdline"),
            memoryWriteConfig: memoryWriteConfig(kernel),
            userID: geteuid(),
            capabilities: CapabilitySet(bits: status.capabilities),
            seccompMode: status.seccompMode,
            userNamespace: .user(), pidNamespace: .pid(), mountNamespace: .mount(),
            ptraceScope: KernelSetting(reading: "/proc/sys/kernel/yama/ptrace_scope"),
            denyPtrace: KernelSetting(reading: "/sys/fs/selinux/booleans/deny_ptrace"),
            securityModules: KernelSetting(reading: "/sys/kernel/security/lsm"),
            lockdown: KernelSetting(reading: "/sys/kernel/security/lockdown"),
            memfdPolicy: KernelSetting(reading: "/proc/sys/vm/memfd_noexec"),
            randomization: KernelSetting(reading: "/proc/sys/kernel/randomize_va_space"),
            priorityLimit: priorityLimit(),
            realTimeShare: KernelSetting(reading: "/proc/sys/kernel/sched_rt_runtime_us"),
            groupRealTimeShare: groupRealTimeShare(),
            directories: DirectoryFacts.all(places),
            isDisabledByFile: KillSwitch.isThere(KillSwitch.file(in: places.config)),
            service: ServiceState.read(places),
            compiler: CompilerSearch.program(),
            memory: attempt(), trace: attempt(), payload: attempt(), priority: attempt(),
            execHold: trials.program(), interpreterHold: trials.interpreter())
    }

    private static func attempt<Step>() -> Attempt<Step> {
        Result { () throws(Errno) in try Trial.run() }
    }

    /// The lines about /proc/PID/mem of the kernel's configuration.
    private static func memoryWriteConfig(_ kernel: KernelVersion) -> String? {
        let path = FilePath("/boot").appending("config-\(kernel.release)")
        let lines = KernelSetting(reading: path).text?.split(separator: "\n") ?? []
        return lines.first { $0.hasPrefix("CONFIG_PROC_MEM_") && $0.hasSuffix("=y") }
            .map(String.init)
    }

    private static func priorityLimit() -> UInt64 {
        var limit = rlimit()
        let resource = __rlimit_resource_t(UInt32(bitPattern: 14))  // RLIMIT_RTPRIO
        return unsafe getrlimit(resource, &limit) == 0 ? UInt64(limit.rlim_cur) : 0
    }

    /// cpu.rt_runtime_us of the group in which this process is (cgroups(7), version 1
    /// only: version 2 has no such share).
    private static func groupRealTimeShare() -> KernelSetting {
        let groups = KernelSetting(reading: "/proc/self/cgroup").text ?? ""
        for line in groups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, fields[1].split(separator: ",").contains("cpu") else {
                continue
            }
            return KernelSetting(
                reading: FilePath("/sys/fs/cgroup/cpu\(fields[2])/cpu.rt_runtime_us"))
        }
        return .absent
    }
}

/// The lines of /proc/self/status that matter here (proc_pid_status(5)).
private struct ProcessStatusText {
    private let text: String

    init(_ setting: KernelSetting) { text = setting.text ?? "" }

    var capabilities: UInt64 { UInt64(value("CapEff:"), radix: 16) ?? 0 }
    var seccompMode: Int { Int(value("Seccomp:")) ?? 0 }

    private func value(_ key: String) -> String {
        let line = text.split(separator: "\n").first { $0.hasPrefix(key) } ?? ""
        return String(line.dropFirst(key.count).drop { $0 == "\t" || $0 == " " })
    }
}
