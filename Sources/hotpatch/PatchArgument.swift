import ArgumentParser
import HotpatchKit
import SystemPackage

/// The patch file that a command works with.
struct PatchArgument: ParsableArguments {
    @Argument(
        help: ArgumentHelp("The patch file.", valueName: "FIX.hpatch"),
        completion: .file(extensions: ["hpatch"]))
    var patch: String

    /// Reads and verifies it.
    func read() throws(PatchFileError) -> PatchFile {
        try PatchFile.read(path: FilePath(patch))
    }
}

/// One or more patch files, switched as one.
struct PatchArguments: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "The patch file. Several are switched in together: all of them or none.",
            valueName: "FIX.hpatch"),
        completion: .file(extensions: ["hpatch"]))
    var patches: [String]

    /// Reads and verifies them.
    func read() throws(PatchFileError) -> [PatchFile] {
        try patches.map { path throws(PatchFileError) in
            try PatchFile.read(path: FilePath(path))
        }
    }
}

/// How long and how far a switch may go.
struct SwitchArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "How long to try while threads are inside what is replaced. The program runs meanwhile.",
            valueName: "seconds"))
    var timeout: Double = 10

    @Flag(
        help: """
            Do not wait for threads that are inside an original: they finish the old code while \
            others run the new.
            """)
    var allowActive = false

    @Flag(
        help: """
            Patch a program that runs under a seccomp filter. If hotpatch is killed while it works, \
            such a filter may kill the program.
            """)
    var allowSeccomp = false

    var options: SwitchOptions {
        SwitchOptions(
            timeout: .milliseconds(Int64(timeout * 1000)), allowsActiveOriginals: allowActive,
            seccomp: allowSeccomp ? .suspend : .refuse)
    }

    func validate() throws {
        guard timeout >= 0, timeout <= 86400 else {
            throw ValidationError("--timeout takes 0 to 86400 seconds, not \(timeout).")
        }
    }
}
