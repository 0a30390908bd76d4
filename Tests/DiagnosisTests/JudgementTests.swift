import SystemPackage
import Testing

@testable import Diagnosis

/// What is found is judged from the facts alone: these machines need not exist.
@Suite struct JudgementTests {
    @Test func aSoundMachineHasNothingToMend() {
        let findings = Diagnosis.judge(.sound)
        #expect(findings.allSatisfy { $0.verdict == .ok && $0.remedy == nil })
        #expect(findings.allowApplying)
        #expect(findings.allow(.service))
    }

    @Test(arguments: [true, false])
    func eachFindingIsToldApart(_ isSound: Bool) {
        let findings = Diagnosis.judge(isSound ? .sound : .unprivileged)
        #expect(Set(findings.map(\.id)).count == findings.count)
        #expect(Set(findings.map(\.title)).count == findings.count)
        #expect(findings.allSatisfy { !$0.found.isEmpty && !$0.meaning.isEmpty })
    }

    @Test func withoutRights() {
        let findings = Diagnosis.judge(.unprivileged)
        #expect(!findings.allowApplying)
        #expect(!findings.allow(.service))
        let remedy = MachineFacts.unprivileged.finding("ptrace.trial")?.remedy ?? ""
        #expect(remedy.contains("kernel.yama.ptrace_scope=0"))
        #expect(MachineFacts.unprivileged.finding("capability.sys_ptrace")?.verdict == .limits)
    }

    /// Who may trace by capability is not bound by the scope, but for the last.
    @Test(arguments: [
        ("0", false, Finding.Verdict.ok), ("1", false, .missing), ("2", false, .missing),
        ("1", true, .ok), ("2", true, .ok), ("3", true, .missing), ("3", false, .missing),
    ])
    func ptraceScope(_ scope: String, _ isPrivileged: Bool, _ verdict: Finding.Verdict) {
        var facts = isPrivileged ? MachineFacts.sound : .unprivileged
        facts.ptraceScope = .text(scope)
        #expect(facts.finding("ptrace.scope")?.verdict == verdict)
    }

    @Test func switchedOffBySELinux() {
        var facts = MachineFacts.sound
        facts.denyPtrace = .text("1 1")
        facts.trace = .success(.failing(at: .seize, with: .failed(.permissionDenied)))
        #expect(facts.finding("ptrace.trial")?.verdict == .missing)
        #expect(facts.finding("ptrace.trial")?.remedy == "sudo setsebool deny_ptrace off")
    }

    // MARK: Memory

    @Test func writingAsTracerOnly() {
        var facts = MachineFacts.sound
        facts.commandLine = .text("quiet proc_mem.force_override=ptrace")
        facts.memory = .success(.failing(at: .write, with: .failed(.ioError)))
        #expect(facts.finding("memory.write")?.verdict == .limits)
        #expect(
            facts.finding("memory.write")?.meaning.contains("proc_mem.force_override=ptrace")
                ?? false)
        #expect(Diagnosis.judge(facts).allowApplying)
    }

    @Test func writingByWordsOnly() {
        var facts = MachineFacts.sound
        facts.memoryWriteConfig = "CONFIG_PROC_MEM_NO_FORCE=y"
        facts.memory = .success(.failing(at: .write, with: .failed(.ioError)))
        facts.trace = .success(Trial([.done, .done, .failed(.ioError), .done, .done]))
        #expect(facts.finding("memory.write")?.verdict == .missing)
        #expect(
            facts.finding("memory.write")?.meaning.contains("CONFIG_PROC_MEM_NO_FORCE=y") ?? false)
        #expect(!Diagnosis.judge(facts).allowApplying)
    }

    @Test func filesInMemoryForbidden() {
        var facts = MachineFacts.sound
        facts.memfdPolicy = .text("2")
        facts.payload = .success(Trial([.failed(.permissionDenied), .notReached, .done]))
        #expect(facts.finding("memory.payload")?.verdict == .limits)
        #expect(facts.finding("memory.memfd-policy")?.verdict == .limits)
        #expect(Diagnosis.judge(facts).allowApplying)
        facts.payload = .success(
            Trial([.failed(.permissionDenied), .notReached, .failed(.permissionDenied)]))
        #expect(facts.finding("memory.payload")?.verdict == .missing)
        #expect(!Diagnosis.judge(facts).allowApplying)
    }

    // MARK: Priority

    /// What stands in the way of it, and how it is taken away.
    @Test(arguments: [
        ("950000", "950000", 0, "RLIMIT_RTPRIO 0", "ulimit -r 1"),
        ("950000", "0", UInt64.max, "cpu.rt_runtime_us 0", "cpu.rt_runtime_us"),
        ("0", "950000", UInt64.max, "sched_rt_runtime_us 0", "kernel.sched_rt_runtime_us=950000"),
    ])
    func noRealTimePriority(
        _ share: String, _ groupShare: String, _ capabilities: UInt64, _ cause: String,
        _ remedy: String
    ) {
        var facts = MachineFacts.sound
        facts.userID = capabilities == 0 ? 1000 : 0
        facts.capabilities = CapabilitySet(bits: capabilities)
        facts.realTimeShare = .text(share)
        facts.groupRealTimeShare = .text(groupShare)
        facts.priority = .success(.failing(at: .set, with: .failed(.notPermitted)))
        let finding = facts.finding("priority.trial")
        #expect(finding?.verdict == .limits)
        #expect(finding?.found.contains(cause) ?? false)
        #expect(finding?.remedy?.contains(remedy) ?? false)
    }

    // MARK: Holding programs

    @Test func theDeadlockInExec() {
        var facts = MachineFacts.sound
        facts.execHold = .success(.failing(at: .seize, with: .blocked))
        facts.interpreterHold = facts.execHold
        #expect(facts.finding("hold.trial")?.verdict == .ok)
        #expect(facts.finding("hold.seize")?.verdict == .limits)
        #expect(facts.finding("hold.seize")?.remedy?.contains("6.8") ?? false)
        #expect(facts.finding("hold.interpreter")?.verdict == .limits)
        // It falls back.
        #expect(Diagnosis.judge(facts).allow(.service))
    }

    @Test func withoutPermissionEvents() {
        var facts = MachineFacts.sound
        facts.execHold = .success(.failing(at: .mark, with: .failed(.invalidArgument)))
        facts.interpreterHold = facts.execHold
        #expect(facts.finding("hold.trial")?.verdict == .missing)
        #expect(facts.finding("hold.trial")?.found.contains("mark") ?? false)
        #expect(Diagnosis.judge(facts).allowApplying)
        #expect(!Diagnosis.judge(facts).allow(.service))
    }

    @Test func trialsThatCannotBeMade() {
        var facts = MachineFacts.sound
        facts.memory = .failure(.resourceTemporarilyUnavailable)
        facts.trace = .failure(.resourceTemporarilyUnavailable)
        facts.payload = .failure(.resourceTemporarilyUnavailable)
        facts.priority = .failure(.resourceTemporarilyUnavailable)
        facts.execHold = .failure(.readOnlyFileSystem)
        facts.interpreterHold = .failure(.readOnlyFileSystem)
        let findings = Diagnosis.judge(facts)
        let untried = findings.filter { $0.found.hasPrefix("not tried") }
        #expect(untried.count == 9)
        #expect(untried.allSatisfy { $0.verdict == .limits })
    }

    // MARK: The rest

    @Test(arguments: [
        ("3.16.0", 3, 16), ("6.1.0-18-amd64", 6, 1), ("5.10", 5, 10), ("6.8rc1", 6, 8),
        ("", 0, 0), ("x.y", 0, 0), ("99999999999999999999.1", 0, 1),
    ])
    func kernelVersions(_ release: String, _ major: Int, _ minor: Int) {
        let version = KernelVersion(release: release)
        #expect(version.major == major)
        #expect(version.minor == minor)
        #expect(version.release == release)
    }

    @Test func oldKernels() {
        var facts = MachineFacts.sound
        facts.kernel = KernelVersion(release: "4.19.0")
        #expect(facts.finding("kernel.version")?.verdict == .limits)
        facts.kernel = KernelVersion(release: "3.10.0")
        #expect(!Diagnosis.judge(facts).allowApplying)
    }

    @Test func inAContainer() {
        var facts = MachineFacts.sound
        facts.pidNamespace = .other
        facts.capabilities = CapabilitySet(bits: 0)
        #expect(facts.finding("namespace.pid")?.verdict == .limits)
        #expect(
            facts.finding("capability.sys_ptrace")?.remedy?.contains("--cap-add=SYS_PTRACE")
                ?? false)
    }

    @Test func killSwitches() {
        var facts = MachineFacts.sound
        facts.commandLine = .text("quiet hotpatch=off")
        #expect(facts.finding("service.switch")?.verdict == .missing)
        facts = .sound
        facts.isDisabledByFile = true
        #expect(facts.finding("service.switch")?.verdict == .missing)
        #expect(
            facts.finding("service.switch")?.remedy?.contains("/etc/hotpatch/disabled") ?? false)
        #expect(Diagnosis.judge(facts).allowApplying)
    }

    @Test(arguments: [
        (0, 0o755, Finding.Verdict.ok), (0, 0o700, .ok), (0, 0o775, .missing),
        (0, 0o757, .missing), (0, 0o1777, .missing), (33, 0o755, .missing),
    ])
    func whoCanWriteTheStore(_ owner: UInt32, _ mode: UInt32, _ verdict: Finding.Verdict) {
        var facts = MachineFacts.sound
        facts.directories = [
            DirectoryFacts(
                kind: .state, path: "/var/lib/hotpatch",
                condition: .present(owner: owner, mode: mode))
        ]
        #expect(facts.finding("directory.state")?.verdict == verdict)
    }

    @Test func withoutCompiler() {
        var facts = MachineFacts.sound
        facts.compiler = nil
        #expect(facts.finding("build.compiler")?.verdict == .missing)
        #expect(Diagnosis.judge(facts).allowApplying)
    }

    // MARK: What the service says of itself

    private let startTimes: [Int64: Int64] = [321: 5000]

    @Test func theServiceRuns() {
        let text =
            #"{"schema": 1, "pid": 321, "startTime": 5000, "mode": "polling", "window": "w"}"#
        #expect(
            ServiceState.parse(text) { startTimes[$0] }
                == .running(pid: 321, mode: "polling", window: "w"))
    }

    /// Its number may have been given to another process since.
    @Test(arguments: [
        #"{"pid": 321, "startTime": 4999, "mode": ""}"#,
        #"{"pid": 322, "startTime": 5, "mode": ""}"#,
    ])
    func theServiceIsGone(_ text: String) {
        guard case .gone = ServiceState.parse(text, startTime: { startTimes[$0] }) else {
            Issue.record("taken for running: \(text)")
            return
        }
    }

    @Test func theServiceFallsBack() {
        var facts = MachineFacts.sound
        facts.service = .running(pid: 321, mode: "polling", window: "100 ms")
        #expect(facts.finding("service.running")?.verdict == .limits)
        #expect(facts.finding("service.running")?.meaning.contains("100 ms") ?? false)
    }

    @Test(arguments: ["", "{", "[]", #"{"pid": "321"}"#, #"{"pid": 321, "startTime": 5000}"#])
    func notWhatTheServiceWrites(_ text: String) {
        guard case .unreadable = ServiceState.parse(text, startTime: { startTimes[$0] }) else {
            Issue.record("taken for sound: \(text)")
            return
        }
    }
}
