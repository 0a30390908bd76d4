import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import PatchStore

/// Several tools at once.
@Suite struct TogetherTests {
    private func start(_ sample: SampleStore, _ arguments: [String]) throws -> RunningCommand {
        try RunningCommand(
            BuiltProduct.path("hotpatch").string, arguments, environment: sample.environment)
    }

    /// Each change is there afterwards, and whoever reads meanwhile sees a whole store.
    @Test func allChangesCount() throws {
        let sample = try SampleStore()
        let names = (0..<8).map { "patch-\($0)" }
        let installs = try names.map {
            ["install", try sample.write(SamplePatch.bytes($0), as: $0), "--no-apply"]
        }
        for arguments in [installs, names.map { ["uninstall", $0, "--keep-running"] }] {
            let tools = try arguments.map { try start(sample, $0) }
            var sizes: Set<Int> = []
            while tools.contains(where: \.isRunning) {
                let contents = try sample.store.read()
                #expect(contents.damaged.isEmpty)
                sizes.insert(contents.entries.count)
            }
            for tool in tools {
                let result = try tool.finish()
                #expect(result.succeeded, "\(result.errorOutput)")
            }
            #expect(sizes.count > 1)
            let expected = arguments == installs ? Set(names) : []
            #expect(Set(try sample.names()) == expected)
            #expect(try sample.files().count == expected.count)
        }
        let records = try AuditLog(sample.locations).read()
        #expect(records.events.count == 16 && records.skippedCount == 0 && !records.isTorn)
        for action in [AuditEvent.Action.install, .uninstall] {
            let patches = records.events.filter { $0.action == action }.compactMap(\.patch)
            #expect(patches.sorted() == names)
        }
    }

    /// Two installs of one patch: one does it, the other finds it done.
    @Test func theSameOneTwice() throws {
        let sample = try SampleStore()
        let patch = try sample.write(SamplePatch.bytes("a"), as: "a")
        let tools = try (0..<4).map { _ in try start(sample, ["install", patch, "--no-apply"]) }
        let results = try tools.map { try $0.finish() }
        #expect(results.allSatisfy { $0.succeeded })
        let already = results.filter { $0.output.contains("is installed already") }
        #expect(already.count == 3)
        #expect(try sample.names() == ["a"])
    }

    @Test func whoWaitsTooLongSaysForWhom() throws {
        let sample = try SampleStore()
        let patch = try sample.write(SamplePatch.bytes("a"), as: "a")
        let result = try sample.change { _ throws(StoreError) in
            try? sample.run(["install", patch, "--no-apply", "--wait", "0.2"])
        }
        let refused = try #require(result)
        #expect(refused.code == 3)
        #expect(refused.errorOutput.contains("nothing was changed"))
        #expect(refused.errorOutput.contains("process \(getpid()) "))
        #expect(refused.errorOutput.contains("[store.busy]"))
        #expect(try sample.store.read().entries.isEmpty)
        let events = try AuditLog(sample.locations).read().events
        #expect(events.map(\.code) == ["store.busy"] && events.map(\.patch) == ["a"])
    }

    /// Who is killed holds nothing up.
    @Test func theLockGoesWithItsHolder() throws {
        let sample = try SampleStore()
        let patch = try sample.write(SamplePatch.bytes("a"), as: "a")
        try sample.change { _ throws(StoreError) in
            let waiting = try? start(sample, ["install", patch, "--no-apply"])
            #expect(waiting?.isRunning ?? false)
            waiting?.signal(SIGKILL)
            _ = try? waiting?.finish()
        }
        try sample.install(SamplePatch.candidate("b"))
        #expect(try sample.names() == ["b"])
    }
}
