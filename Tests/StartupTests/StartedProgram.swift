import Authoring
import LiveProcess
import PatchFile
import Startup
import Switchover
import SystemPackage
import TestSupport
import Testing

/// A program of `Fixtures/startup`, perhaps with its library, in a folder of its own.
struct StartedProgram {
    let folder: TemporaryDirectory
    let program: FilePath
    let library: FilePath

    init(flags: [String] = [], withLibrary: Bool = false) throws {
        folder = try TemporaryDirectory()
        (program, library) = try Fixture.compileStartup(
            in: folder.path, flags: flags, withLibrary: withLibrary)
    }

    /// A patch of the program, or of its library.
    func patch(
        _ name: String, _ source: String, of base: FilePath? = nil
    ) throws -> PatchFile {
        let file = try folder.write(source, to: "\(name).c")
        var request = BuildRequest(
            base: base ?? program, sources: [file],
            output: folder.path.appending("\(name).hpatch"))
        request.libraryPaths = [folder.path]
        return try PatchBuilder.build(request).patch
    }

    /// The fix that imports nothing.
    func plainPatch(_ value: Int = 2) throws -> PatchFile {
        try patch(
            "plain-\(value)", "int answer(const char *who) { return who ? \(value) : 0; }\n")
    }

    /// The same of a program that has other instructions there.
    func patchOfOtherCode() throws -> PatchFile {
        let plain = try plainPatch()
        let object = folder.path.appending("object.o")
        let file = folder.path.appending("plain-2.hpatch")
        let command = try Command.run(
            "objcopy", ["--remove-section", PatchFile.manifestSection, file.string, object.string])
        try #require(command.succeeded)
        var manifest = plain.manifest
        manifest.functions[0].original = manifest.functions[0].original.map { _ in 0x90 }
        return try PatchFile.make(object: object.bytes(), manifest: manifest, name: "plain-2").patch
    }

    /// What the program says when it is started with patches, in one of the ways of
    /// `launch.c`, and how its start was reported.
    ///
    /// - Parameter script: what is started in its place.
    func start(
        _ way: String = "exec", with patches: [PatchFile], arguments: [String] = [],
        environment: [String: String] = [:], as script: FilePath? = nil
    ) throws -> (line: String, reports: [StartReport]) {
        let launcher = try Fixture.compile(
            "startup/launch", flags: ["-O2", "-pthread", "-Wall", "-Werror"], output: "launch")
        let victim = try Victim(
            launcher, [way, (script ?? program).string] + arguments, environment: environment)
        let numbers = try victim.readLine(startingWith: "ready ").split(separator: " ")
            .compactMap { Int32($0) }
        try #require(numbers.count == 2)
        let seized = try ThreadBeforeExec(
            ThreadID(rawValue: numbers[1]),
            of: TargetProcess.find(ProcessID(rawValue: numbers[0])))
        try victim.send("")
        guard case .exec(let thread) = try seized.awaitExec(atMost: 10_000_000_000) else {
            throw Errno.noSuchProcess
        }
        let reports = StartPatches(patches).patchAtExec(
            thread, of: try TargetProcess.find(heldBy: thread), awaitsLibraries: true)
        thread.release()
        let line = try victim.readLine()
        victim.closeInput()
        #expect(try victim.waitForExit() == .exited(42))
        return (line, reports)
    }
}

extension StartReport {
    /// What it says, in one word or with the reason.
    var summary: String {
        switch outcome {
        case .success(let report): report.outcome.rawValue
        case .failure(let failure): "\(failure.code): \(failure)"
        }
    }
}
