import Glibc
import LiveProcess
import PatchFile
import Switchover
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// What a program does in the middle of a switch of several functions, in each
/// phase of it: it forks, runs another program, ends, or is killed.
@Suite struct MiddleTests {
    private typealias Choir = HardTargetsTests.Choir

    /// Those in which it runs and can do something.
    private static let runningPhases: [SwitchPhase] = [
        .looking, .linking, .mapping, .filling, .noting, .stopping, .tidying, .done,
    ]
    private static let stoppedPhases: [SwitchPhase] = [
        .comparing, .writingStubs, .deciding, .writingJumps, .releasing,
    ]

    /// Applies or reverts the choir's patches in this process, and does something
    /// once in each phase.
    private func `switch`(
        _ choir: Choir, to version: Int,
        _ interfere: @escaping @Sendable (SwitchPhase) throws -> Void
    ) throws {
        let process = try TargetProcess.find(ProcessID(rawValue: choir.victim.pid))
        let progress = Mutex<(seen: Set<SwitchPhase>, failure: (any Error)?)>(([], nil))
        var options = SwitchOptions(timeout: .seconds(60))
        options.observer = { phase in
            guard progress.withLock({ $0.seen.insert(phase).inserted }) else { return }
            do { try interfere(phase) } catch { progress.withLock { $0.failure = error } }
        }
        let patches = try choir.patches.map { try PatchFile.read(path: FilePath($0)) }
        let outcome = Result {
            version == 2
                ? try Switchover.apply(patches, to: process, options: options)
                : try Switchover.revertAll(in: process, options: options)
        }
        if let failure = progress.withLock({ $0.failure }) { throw failure }
        _ = try outcome.get()
    }

    // MARK: - Fork

    /// A child is as its parent was at that moment, all old or all new, and can be
    /// looked at, put right, reverted and patched by itself.
    @Test func aChildIsAsItsParentWas() throws {
        let choir = try Choir("quartet")
        let born = Mutex<[(child: String, phase: SwitchPhase, version: Int)]>([])
        for version in [2, 1] {
            try `switch`(choir, to: version) { phase in
                guard Self.runningPhases.contains(phase) else { return }
                try choir.victim.send("fork")
                let child = try choir.victim.readLine(startingWith: "forked ")
                let isSwitched = phase == .tidying || phase == .done
                born.withLock { $0.append((child, phase, isSwitched ? version : 3 - version)) }
            }
            try choir.expectVersion(version)
        }
        let children = born.withLock { $0 }
        // Reverting needs neither files nor mappings.
        #expect(children.count == Self.runningPhases.count + 4)
        let versions = Dictionary(uniqueKeysWithValues: children.map { ($0.child, $0.version) })
        #expect(try Self.versions(of: choir) == versions)

        for (child, states) in try Self.states(of: children.map(\.child)) {
            let (_, phase, version) = try #require(children.first { $0.child == child })
            let expected: Set<String> =
                switch phase {
                case .stopping, .tidying: ["interrupted"]
                case .done: [version == 2 ? "applied" : "reverted"]
                default: version == 2 ? ["applied"] : ["unused"]
                }
            #expect(states == expected, "forked when \(phase)")
        }

        let all = ["--pid"] + children.map(\.child)
        try Tool.expect(0, ["recover"] + all)
        #expect(try Self.versions(of: choir) == versions)
        for (child, states) in try Self.states(of: children.map(\.child)) {
            #expect(states == [versions[child] == 2 ? "applied" : "reverted"])
        }
        for child in children {
            let files = try Command.run("ls", ["-l", "/proc/\(child.child)/fd"]).output
            #expect(!files.contains("memfd"), "forked when \(child.phase)")
        }
        try Tool.expect(0, ["apply"] + choir.patches + all)
        #expect(try Set(Self.versions(of: choir).values) == [2])
        try Tool.expect(0, ["revert", "--all"] + all)
        #expect(try Set(Self.versions(of: choir).values) == [1])
        try choir.expectVersion(1)
    }

    /// What each child sings; 0 where its voices differ.
    private static func versions(of choir: Choir) throws -> [String: Int] {
        let pairs = try choir.victim.ask("children").split(separator: " ").map {
            $0.split(separator: ":").map(String.init)
        }
        return Dictionary(pairs.map { ($0[0], Int($0[1]) ?? 0) }, uniquingKeysWith: { $1 })
    }

    /// The states of the patches in each process that has any.
    private static func states(of children: [String]) throws -> [String: Set<String>] {
        let rows = try Tool.tsv(["status", "--pid"] + children)
        return Dictionary(rows.map { ($0["pid"] ?? "", [$0["state"] ?? ""]) }) { $0.union($1) }
    }

    // MARK: - Exec

    /// Another program is never half patched, and a patch that went with the old
    /// one is not called applied.
    @Test(arguments: [2, 1]) func anExecEndsTheSwitch(to version: Int) throws {
        let choir = try Choir("quartet")
        for phase in Self.runningPhases where version == 2 || phase.isOfEveryChange {
            if version == 1 { try choir.apply() }
            let outcome = Result {
                try `switch`(choir, to: version) {
                    guard $0 == phase else { return }
                    let answer = try choir.victim.ask("exec")
                    #expect(answer == "ready")
                }
            }
            expect(outcome, interruptedIn: phase, codes: ["process.program-changed"])
            try choir.expectVersion(1)
            try Tool.expect(0, ["status", "--pid", choir.pid], says: ["No patch is applied"])
        }
        try choir.apply()
        try choir.expectVersion(2)
    }

    private func expect(
        _ outcome: Result<Void, any Error>, interruptedIn phase: SwitchPhase, codes: Set<String>
    ) {
        switch outcome {
        case .success:
            // It was done already, or was done while a killed process still had its memory.
            #expect(phase.rawValue >= SwitchPhase.comparing.rawValue, "in phase \(phase)")
        case .failure(SwitchoverError.process(let error)):
            #expect(codes.contains(error.code), "in phase \(phase): \(error)")
        case .failure(let error):
            Issue.record("in phase \(phase): \(error)")
        }
    }

    // MARK: - End

    /// By exit from a thread that is not the first.
    @Test(arguments: [2, 1]) func anExitEndsTheSwitch(to version: Int) throws {
        for phase in Self.runningPhases where version == 2 || phase.isOfEveryChange {
            let choir = try Choir("quartet")
            if version == 1 { try choir.apply() }
            let outcome = Result {
                try `switch`(choir, to: version) {
                    guard $0 == phase else { return }
                    try choir.victim.send("exit")
                    let exit = try choir.victim.waitForExit()
                    #expect(exit == .exited(5))
                }
            }
            expect(outcome, interruptedIn: phase, codes: ["process.ended"])
        }
    }

    @Test(arguments: [2, 1]) func aKillEndsTheSwitch(to version: Int) throws {
        for phase in Self.runningPhases + Self.stoppedPhases where phase.isOfEveryChange {
            let choir = try Choir("quartet")
            if version == 1 { try choir.apply() }
            let outcome = Result {
                try `switch`(choir, to: version) {
                    if $0 == phase { choir.victim.signal(SIGKILL) }
                }
            }
            expect(outcome, interruptedIn: phase, codes: ["process.ended"])
            #expect(try choir.victim.waitForExit() == .killed(signal: SIGKILL))
        }
    }
}

extension SwitchPhase {
    /// Not only of one that brings a patch in.
    fileprivate var isOfEveryChange: Bool { rawValue >= SwitchPhase.noting.rawValue }
}
