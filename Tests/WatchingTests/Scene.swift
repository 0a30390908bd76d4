import Glibc
import JSONText
import PatchFile
import PatchStore
import SystemPackage
import TestSupport
import Testing
import Watching

/// A machine of its own for one test: a store, a program that nobody else runs, and the
/// service over both.
final class Scene: Sendable {
    let directory: TemporaryDirectory
    let locations: Locations
    private static let starter = Result {
        try Fixture.compile(
            "watching/starter", flags: ["-std=gnu17", "-O2", "-pthread"], output: "starter")
    }

    init() throws {
        directory = try TemporaryDirectory()
        let path = directory.path
        locations = Locations(
            state: path.appending("state"), config: path.appending("config"),
            run: path.appending("run"), journal: path.appending("no-journal"))
        for folder in [locations.state, locations.config, locations.state.appending("patches")] {
            guard unsafe mkdir(folder.string, 0o755) == 0 else { throw Errno(rawValue: errno) }
        }
    }

    // MARK: Programs and patches

    /// Compiles a fixture to a build that no other test has: the service patches
    /// whatever on the machine is of a build that has patches.
    func compile(
        _ name: String, as output: String? = nil, flags: [String] = []
    ) throws -> FilePath {
        let path = directory.path.appending(output ?? name)
        let id = (0..<20).map { _ in Hexadecimal.text([UInt8.random(in: 0...255)]) }.joined()
        try Fixture.compile(
            source: Fixture.sources.appending("watching/\(name).c"), to: path,
            flags: ["-std=gnu17", "-O2", "-g", "-Wl,--build-id=0x\(id)"] + flags)
        return path
    }

    /// A copy of a system's file that is another build.
    func copy(of path: FilePath, as name: String) throws -> FilePath {
        var bytes = try path.bytes()
        // struct Elf64_Nhdr: 4 bytes of name, 20 of contents, NT_GNU_BUILD_ID, and the name.
        let header: [UInt8] = [4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0] + Array("GNU\0".utf8)
        let place = try #require(
            bytes.indices.first { bytes[$0...].starts(with: header) }, "no build id")
        for index in place + header.count..<place + header.count + 20 {
            bytes[index] = UInt8.random(in: 0...255)
        }
        let copy = directory.path.appending(name)
        try copy.write(
            bytes, permissions: [.ownerReadWriteExecute, .groupReadExecute, .otherReadExecute])
        return copy
    }

    /// Builds the fix for a base, without installing it.
    func patch(for base: FilePath, fix name: String = "early-fix") throws -> FilePath {
        let path = try directory.makeDirectory().appending(name + ".hpatch")
        let source = Fixture.sources.appending("watching/\(name).c")
        let result = try tool(["build", "--base", base.string, "-o", path.string, source.string])
        try #require(result.succeeded, "\(result.errorOutput)")
        return path
    }

    /// Makes these the installed patches, each with where its base is.
    func install(_ patches: [(patch: FilePath, base: FilePath)]) throws {
        var entries: [JSONValue] = []
        for (path, base) in patches {
            let patch = try PatchFile.read(path: path)
            let id = PatchID(patch)
            try installedFile(of: path).write(try path.bytes())
            entries.append([
                "name": .string(id.name), "digest": .string(id.digest),
                "base": .string("\(patch.manifest.base.identity)"),
                "installedAt": "2026-11-23T06:30:06Z", "by": "a test",
                "paths": .array([.string(base.string)]),
            ])
        }
        let list: JSONValue = [
            "schema": 1, "patches": .array(entries), "withdrawn": .array([]),
        ]
        let draft = locations.state.appending("draft")
        try draft.write(Array(list.text().utf8))
        try draft.rename(to: locations.series)
    }

    /// Where an installed patch is kept.
    func installedFile(of patch: FilePath) throws -> FilePath {
        let id = PatchID(try PatchFile.read(path: patch))
        return locations.state.appending("patches/\(id.name)-\(id.digest).hpatch")
    }

    /// A program with a patch that is installed.
    func patchedProgram(flags: [String] = []) throws -> FilePath {
        let program = try compile("early", flags: flags)
        try install([(try patch(for: program), program)])
        return program
    }

    // MARK: The service

    var environment: [String: String] {
        [
            "HOTPATCH_STATE_DIR": locations.state.string,
            "HOTPATCH_CONFIG_DIR": locations.config.string,
            "HOTPATCH_RUN_DIR": locations.run.string,
            "HOTPATCH_JOURNAL_SOCKET": locations.journal.string,
        ]
    }

    func tool(_ arguments: [String]) throws -> Command {
        try Command.run(
            try BuiltProduct.path("hotpatch").string, arguments, environment: environment)
    }

    /// Starts the service, and waits until it serves.
    ///
    /// - Parameters:
    ///   - tool: another one than what was built.
    ///   - launcher: a command that runs it.
    func watch(
        _ arguments: [String] = [], environment more: [String: String] = [:],
        tool: FilePath? = nil, launcher: [String] = []
    ) throws -> RunningCommand {
        let tool = try tool ?? BuiltProduct.path("hotpatch")
        let words = launcher + [tool.string, "watch"] + arguments
        let watcher = try RunningCommand(
            words[0], Array(words.dropFirst()),
            environment: environment.merging(more) { _, new in new })
        try wait(until: "the service serves") {
            if !watcher.isRunning {
                throw Failure("the service ended: \(try watcher.errorOutputSoFar())")
            }
            return record?.process == watcher.pid
        }
        return watcher
    }

    /// What the service tells of itself.
    var record: WatchRecord? { WatchRecord.read(in: locations.run) }

    /// How many lines the audit log has.
    var auditCount: Int { (try? locations.audit.lines().count) ?? 0 }

    // MARK: Starts

    /// How starts went.
    struct Starts {
        /// How many there were, by what the program ended with.
        var codes: [Int: Int] = [:]
        /// Microseconds from before the start to the end of the program.
        var slowest = 0
        var median = 0

        init(_ text: String) throws {
            for line in text.split(separator: "\n") {
                let words = line.split { $0 == " " || $0 == ":" }.map(String.init)
                guard words.count >= 2, let number = Int(words[1]) else {
                    throw Failure("'\(line)' is not what the starter says")
                }
                switch words[0] {
                case "code": codes[number] = Int(words[2])
                case "slowest": slowest = number
                default: median = number
                }
            }
        }
    }

    /// Starts the program again and again, in that way, so many at once.
    func start(
        _ program: FilePath, _ way: String = "fork", _ count: Int, atOnce: Int = 1,
        _ arguments: [String] = [], launcher: [String] = [], environment: [String: String] = [:]
    ) throws -> Starts {
        try Self.result(
            startBeside(
                program, way, count, atOnce: atOnce, arguments, launcher: launcher,
                environment: environment))
    }

    /// The same beside the test.
    ///
    /// - Parameter launcher: a command that runs the one that starts it.
    func startBeside(
        _ program: FilePath, _ way: String = "fork", _ count: Int, atOnce: Int = 1,
        _ arguments: [String] = [], launcher: [String] = [], environment: [String: String] = [:]
    ) throws -> RunningCommand {
        let words =
            launcher + [
                try Self.starter.get().string, way, "\(count)", "\(atOnce)", program.string,
            ]
            + arguments
        return try RunningCommand(
            words[0], Array(words.dropFirst()), environment: environment)
    }

    static func result(_ starter: RunningCommand) throws -> Starts {
        let result = try starter.finish()
        try #require(result.succeeded, "\(result.exit) \(result.errorOutput)")
        return try Starts(result.output)
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }
}

/// What these tests need: root, and a kernel that asks before a program runs.
enum Ability {
    static let isRoot = geteuid() == 0
    static let reason: Comment = "the kernel asks root only whether programs may start"
}

/// What a service has written so far, to say where a test fails.
func said(_ watcher: RunningCommand) -> Comment {
    Comment(rawValue: (try? watcher.errorOutputSoFar()) ?? "nothing can be read")
}
