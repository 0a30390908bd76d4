import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import PatchStore

/// The store is whole, old or new, wherever the tool ends: killed at each of its steps
/// and at any moment, with a disk that is full or broken, with the power gone.
@Suite struct CrashTests {
    /// A change of the store by the tool.
    enum Change: String, CaseIterable, Sendable {
        case first, another, replacing, superseding, uninstalling

        /// What is installed before.
        func prepare(_ sample: SampleStore) throws {
            if self == .first { return }
            try sample.install(SamplePatch.candidate("a"), SamplePatch.candidate("b"))
        }

        func arguments(in sample: SampleStore) throws -> [String] {
            switch self {
            case .first: try install("a", SamplePatch.bytes("a"), sample)
            case .another: try install("c", SamplePatch.bytes("c"), sample)
            case .replacing:
                try install("a", SamplePatch.bytes("a", version: "2"), sample) + ["--replace"]
            case .superseding:
                try install("c", SamplePatch.bytes("c", supersedes: ["a", "b"]), sample)
            case .uninstalling: ["uninstall", "a", "--keep-running"]
            }
        }

        private func install(
            _ name: String, _ bytes: [UInt8], _ sample: SampleStore
        ) throws -> [String] {
            ["install", try sample.write(bytes, as: name), "--no-apply"]
        }
    }

    /// What a run that went wrong may leave: the store before or after.
    private struct Scene {
        let sample: SampleStore
        let arguments: [String]
        let before: [PatchID]
        private(set) var after: [PatchID] = []
        /// The whole run's.
        private(set) var steps: [Step] = []
        private let backup: FilePath

        init(_ change: Change) throws {
            sample = try SampleStore()
            try change.prepare(sample)
            arguments = try change.arguments(in: sample)
            before = try sample.store.read().entries.map(\.id)
            backup = sample.directory.path.appending("backup")
            if !before.isEmpty { try copy(sample.locations.state, to: backup) }
            let (result, steps) = try Step.run(arguments, in: sample)
            try #require(result.succeeded, "\(result.errorOutput)")
            self.steps = steps
            after = try sample.store.read().entries.map(\.id)
            try #require(after != before && steps.count > 10)
        }

        func restore() throws {
            try remove(sample.locations.state)
            if !before.isEmpty { try copy(backup, to: sample.locations.state) }
        }

        private func copy(_ from: FilePath, to: FilePath) throws {
            let result = try Command.run("cp", ["-a", from.string, to.string])
            try #require(result.succeeded)
        }

        private func remove(_ path: FilePath) throws {
            try #require(try Command.run("rm", ["-rf", path.string]).succeeded)
        }

        /// The store is one of both, and the next change works and leaves nothing over.
        func check(_ comment: Comment, mayBeNew: Bool = true, mayBeOld: Bool = true) throws {
            let contents = try sample.store.read()
            let found = contents.entries.map(\.id)
            #expect(mayBeOld && found == before || mayBeNew && found == after, comment)
            #expect(contents.damaged.isEmpty, comment)
            let records = try AuditLog(sample.locations).read()
            #expect(records.skippedCount == 0, comment)
            try sample.install(SamplePatch.candidate("next"))
            let next = try sample.store.read()
            #expect(next.entries.map(\.id).dropLast() == found[...], comment)
            #expect(next.damaged.isEmpty, comment)
            #expect(try sample.files().count == next.entries.count, comment)
            let others = Set(try DirectoryNames.of(sample.locations.state))
            #expect(
                others.isSubset(of: ["patches", "lock", "series.json", "audit.jsonl"]), comment)
        }
    }

    @Test(arguments: Change.allCases)
    func killedAtEachStep(_ change: Change) throws {
        let scene = try Scene(change)
        for (index, step) in scene.steps.enumerated() {
            for event in [Step.Event.kill, .tear] where event == .kill || step.operation == "write"
            {
                try scene.restore()
                let (result, _) = try Step.run(
                    scene.arguments, in: scene.sample, event: (event, index + 1))
                let comment = Comment("\(event) at \(step)")
                #expect(result.exit == .killed(signal: SIGKILL), comment)
                try scene.check(comment)
            }
        }
    }

    /// What is no longer possible comes back as an error, what does not matter does not.
    @Test(arguments: Change.allCases)
    func failingAtEachStep(_ change: Change) throws {
        let scene = try Scene(change)
        for (index, step) in scene.steps.enumerated() where step.error == 0 {
            try scene.restore()
            let (result, _) = try Step.run(
                scene.arguments, in: scene.sample, event: (.fail, index + 1))
            let comment = Comment("\(step) failed: \(result.errorOutput)")
            #expect([0, 1].contains(result.code), comment)
            let isLog = step.path == scene.sample.locations.audit
            if isLog {
                #expect(result.succeeded, comment)
                #expect(result.errorOutput.contains("this is not written to the log"), comment)
            } else if !result.succeeded {
                #expect(result.errorOutput.contains("[store.system]"), comment)
            }
            // What was renamed, and may be lost with the power, is an error too.
            try scene.check(comment, mayBeOld: !result.succeeded)
        }
    }

    /// A file system that is really full: nothing is changed, and when there is room
    /// again, all goes on.
    @Test(.enabled(if: geteuid() == 0, "mounting takes root"))
    func aFullDisk() throws {
        let sample = try SampleStore()
        let script = """
            set -e
            mount -t tmpfs -o size=40k,mode=755 none "$1"
            export HOTPATCH_STATE_DIR="$1/state"
            "$2" install "$3" --no-apply
            head -c 1000000 /dev/zero >"$1/fill" || true
            if "$2" install "$4" --no-apply; then exit 90; fi
            if "$2" uninstall a --keep-running; then exit 91; fi
            ls "$1/state/patches"
            rm "$1/fill"
            "$2" install "$4" --no-apply
            "$2" uninstall a --keep-running
            ls "$1/state" "$1/state/patches"
            """
        let disk = try sample.directory.makeDirectory()
        let patches = try ["a", "b"].map { try sample.write(SamplePatch.bytes($0), as: $0) }
        let result = try Command.run(
            "unshare",
            ["--mount", "sh", "-c", script, "sh", disk.string]
                + [BuiltProduct.path("hotpatch").string] + patches,
            environment: sample.environment)
        try #require(result.succeeded, "\(result.errorOutput)")
        let refusals = result.errorOutput.split(separator: "\n").filter {
            $0.hasSuffix("No space left on device [store.system]")
        }
        #expect(refusals.count == 2, "\(result.errorOutput)")
        let lines = result.output.split(separator: "\n")
        #expect(lines.filter { $0.hasPrefix("a-") }.count == 1, "\(result.output)")
        #expect(lines.filter { $0.hasPrefix("b-") }.count == 1, "\(result.output)")
        #expect(!result.output.contains(PatchStore.suffixAside))
    }

    /// Kills at moments that have nothing to do with its steps; each run goes on from
    /// what the last one left.
    @Test func killedAtAnyMoment() throws {
        let rounds = 300
        let seed = UInt64.random(in: 0 ... .max)
        var numbers = SeededNumbers(seed: seed)
        let sample = try SampleStore()
        let patch = try sample.write(SamplePatch.bytes("a"), as: "a")
        let candidate = try SamplePatch.candidate("a")
        let id = PatchID(candidate.file)
        // Of the last run that came to its end, in microseconds.
        var duration = 100_000
        var killed = 0
        var isInstalled = false
        for round in 0..<rounds {
            let comment = Comment("seed \(seed), round \(round)")
            let arguments =
                isInstalled
                ? ["uninstall", "a", "--keep-running"] : ["install", patch, "--no-apply"]
            let moment = Int.random(in: 0...duration, using: &numbers)
            let (result, steps) = try Step.run(arguments, in: sample, killAfter: moment)
            let contents = try sample.store.read()
            #expect(contents.damaged.isEmpty, comment)
            let entries = contents.entries.map(\.id)
            #expect(entries == [] || entries == [id], comment)
            if result.exit == .killed(signal: SIGKILL) {
                killed += 1
            } else {
                #expect(result.succeeded, "\(comment): \(result.errorOutput)")
                #expect(entries.isEmpty == isInstalled, comment)
                duration = steps.last?.microseconds ?? duration
            }
            isInstalled = !entries.isEmpty
        }
        #expect(killed > rounds / 4, "\(killed) of \(rounds) were killed")
        try sample.install(SamplePatch.candidate("next"))
        #expect(try sample.files().count == (isInstalled ? 2 : 1))
    }
}

/// What a loss of power may undo: of a file, what was written since it was synced; of
/// a directory, what was renamed, made or removed in it since that was synced, in any
/// order (rename(2) and fsync(2) promise no more).
@Suite struct PowerLossTests {
    @Test(arguments: CrashTests.Change.allCases)
    func everyStepCanBeTheLast(_ change: CrashTests.Change) throws {
        let sample = try SampleStore()
        try change.prepare(sample)
        let (result, steps) = try Step.run(change.arguments(in: sample), in: sample)
        try #require(result.succeeded)
        check(steps, in: sample)
    }

    /// A tool that was killed between the rename and the sync of the directory has left
    /// that to the next one.
    @Test func whatAKilledRunDidNotSync() throws {
        let sample = try SampleStore()
        try CrashTests.Change.replacing.prepare(sample)
        let arguments = try CrashTests.Change.replacing.arguments(in: sample)
        let state = sample.locations.state
        let backup = sample.directory.path.appending("backup")
        try #require(try Command.run("cp", ["-a", state.string, backup.string]).succeeded)
        let steps = try Step.run(arguments, in: sample).steps
        let rename = try #require(steps.firstIndex { $0.other == sample.locations.series })
        try #require(try Command.run("rm", ["-r", state.string]).succeeded)
        try backup.rename(to: state)
        _ = try Step.run(arguments, in: sample, event: (.kill, rename + 2))
        #expect(try sample.files().count == 3)
        let next = try Step.run(["uninstall", "b", "--keep-running"], in: sample).steps
        let removal = try #require(next.firstIndex { $0.operation == "unlink" && $0.error == 0 })
        #expect(
            next[..<removal].contains { $0.operation == "fsync" && $0.path == state }, "\(next)")
        check(next, in: sample)
    }

    private func check(_ steps: [Step], in sample: SampleStore) {
        let done = steps.filter { $0.error == 0 }
        func isSynced(_ path: FilePath, in range: Range<Int>) -> Bool {
            done[range].contains { $0.operation == "fsync" && $0.path == path }
        }
        func last(_ operation: String, before end: Int, _ path: FilePath) -> Int? {
            done[..<end].lastIndex { $0.operation == operation && $0.path == path }
        }
        for (index, step) in done.enumerated() {
            switch step.operation {
            case "rename":
                // Its bytes are there before its name is.
                let write = last("write", before: index, step.path)
                #expect(write.map { isSynced(step.path, in: $0..<index) } ?? false, "\(step)")
                let folder = step.other?.removingLastComponent() ?? ""
                #expect(isSynced(folder, in: index..<done.count), "\(step)")
                guard step.other == sample.locations.series else { continue }
                // What the list names is there before the list is.
                for (earlier, other) in done[..<index].enumerated()
                where other.operation == "rename" {
                    let folder = other.other?.removingLastComponent() ?? ""
                    #expect(isSynced(folder, in: earlier..<index), "\(other)")
                }
            case "mkdir" where step.path != sample.locations.state:
                let folder = step.path.removingLastComponent()
                #expect(isSynced(folder, in: index..<done.count), "\(step)")
            case "unlink" where step.path.extension == "hpatch":
                // What is removed is named by no list that could come back.
                let list = done[..<index].lastIndex { $0.other == sample.locations.series } ?? 0
                #expect(isSynced(sample.locations.state, in: list..<index), "\(step)")
            case "write" where step.path == sample.locations.audit:
                #expect(isSynced(step.path, in: index..<done.count), "\(step)")
            default: break
            }
        }
    }
}
