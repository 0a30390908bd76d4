import Dispatch
import Glibc
import LiveProcess
import PatchFile
import PatchLinker
import Patchability
import Switchover
import Synchronization
import SystemPackage
import TestSupport
import Testing

/// Programs that nobody here wrote, as build.sh makes them of Debian's sources.
enum RealPrograms {
    /// Where they are: `make test-real` says so, and without it nothing of this runs.
    static let folder: FilePath? = unsafe getenv("HOTPATCH_REAL_PROGRAMS").map {
        FilePath(unsafe String(cString: $0))
    }

    static func path(_ name: String) throws -> FilePath {
        let folder = try #require(folder, "HOTPATCH_REAL_PROGRAMS names no folder")
        return folder.appending(name)
    }

    /// A file beside this one.
    static func resource(_ name: String) -> FilePath {
        FilePath(#filePath).removingLastComponent().appending(name)
    }

    /// Runs a command in a shell, which has to succeed, and returns its output.
    static func shell(_ command: String) throws -> String {
        let finished = try Command.run("sh", ["-c", command])
        try #require(finished.succeeded, "\(command): \(finished.output)\(finished.errorOutput)")
        return finished.output
    }
}

/// One program after the other, since each is under full load.
@Suite(.serialized, .enabled(if: RealPrograms.folder != nil, "run it with 'make test-real'"))
struct RealProgramsTests {
    /// Runs `load`, whose results are the same each time, in the program as it is,
    /// with a trampoline under every function, while the trampolines come and go, and
    /// when they are gone.
    func expectNoDifference(
        in pid: Int32, of program: FilePath, _ load: @escaping @Sendable () throws -> [String]
    ) throws {
        let trampolines = try Trampolines(under: program)
        let share = trampolines.share
        #expect(share.replaceable * 100 >= share.functions * 99, "\(share)")
        #expect(share.callable * 100 >= share.functions * 95, "\(share)")
        #expect(trampolines.patch.manifest.functions.count == share.callable)

        let process = try TargetProcess.find(ProcessID(rawValue: pid))
        let before = try load()
        try trampolines.switchIn(process)
        expectEqual(try load(), before)
        let status = try Switchover.status(of: process)
        #expect(status.map { $0.state == .applied } == [true])
        #expect(status.first?.record.detours.count == share.callable)
        try trampolines.switchOut(process)

        let rounds = LoadRounds(load)
        for _ in 0..<3 {
            try trampolines.switchIn(process)
            try trampolines.switchOut(process)
        }
        let results = try rounds.finish()
        for result in results { expectEqual(result, before) }
        expectEqual(try load(), before)
        // A server may have started another in the place of one that died.
        #expect(kill(pid, 0) == 0)
        print("\(process.id): \(trampolines.description); \(results.count) rounds during the rest")
    }

    private func expectEqual(_ after: [String], _ before: [String]) {
        #expect(after.count == before.count)
        // All of it would be too much to read.
        let different = zip(after, before).first { $0 != $1 }
        #expect(different.map { [$0, $1] } == nil)
    }
}

extension Trampolines {
    /// The main loop is on the stack, and a trampoline does no harm to it.
    private static let options = SwitchOptions(
        timeout: .seconds(30), allowsActiveOriginals: true)

    func switchIn(_ process: TargetProcess) throws {
        let report = try Switchover.apply(patch, to: process, options: Self.options)
        #expect(report.outcome == .applied)
    }

    func switchOut(_ process: TargetProcess) throws {
        let report = try Switchover.revert(Self.name, in: process, options: Self.options)
        #expect(report.outcome == .reverted)
    }
}

/// A load that is run again and again beside the test, at least once.
private final class LoadRounds: Sendable {
    private let results = Mutex<[Result<[String], any Error>]>([])
    private let isWanted = Atomic<Bool>(true)
    private let ended = DispatchSemaphore(value: 0)

    init(_ load: @escaping @Sendable () throws -> [String]) {
        DispatchQueue.global().async { [self] in
            repeat {
                let result = Result { try load() }
                results.withLock { $0.append(result) }
            } while isWanted.load(ordering: .relaxed)
            ended.signal()
        }
    }

    /// What came of each round.
    func finish() throws -> [[String]] {
        isWanted.store(false, ordering: .relaxed)
        ended.wait()
        return try results.withLock { results in try results.map { try $0.get() } }
    }
}
