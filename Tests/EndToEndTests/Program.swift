import SystemPackage
import TestSupport

/// What is compiled from `Tests/Fixtures/endtoend`.
enum Program {
    /// A program of one source file.
    static func compile(_ name: String, flags: [String] = []) throws -> FilePath {
        try Fixture.compile(
            "endtoend/\(name)", flags: ["-std=gnu17", "-O2", "-g", "-pthread"] + flags,
            output: name)
    }

    /// A copy that the test may remove or replace.
    static func copy(_ file: FilePath, to directory: TemporaryDirectory) throws -> FilePath {
        let name = file.lastComponent?.string ?? "copy"
        let copy = directory.path.appending(name)
        try copy.write(try file.bytes(), permissions: [.ownerReadWriteExecute])
        return copy
    }
}

/// A running program that has said that it is ready.
func startVictim(
    _ program: FilePath, _ arguments: [String] = [], environment: [String: String] = [:]
) throws -> Victim {
    let victim = try Victim(program, arguments, environment: environment)
    _ = try victim.readLine(startingWith: "ready")
    return victim
}
