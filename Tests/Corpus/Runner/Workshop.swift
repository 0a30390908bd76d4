import Glibc
import JSONText
import SystemPackage
import TestSupport

/// Makes of a case what its trial needs: the sources, the program before the fix, and
/// the patch. What was made is kept from run to run.
struct Workshop {
    /// Where everything is kept.
    let cache: FilePath
    /// The scripts that are no case's own.
    let scripts: FilePath
    /// The tool.
    let hotpatch: FilePath

    /// Flags as Debian's, in the environment of everything that builds.
    private static let environment = [
        "CFLAGS": "-g -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2",
        "LDFLAGS": "-Wl,-z,relro,-z,now",
    ]

    private func folder(_ trial: Case) -> FilePath { cache.appending(trial.name) }

    /// What the scripts of cases share.
    var tools: FilePath { scripts.appending("tools.sh") }

    /// The sources before the fix, built.
    func tree(_ trial: Case) -> FilePath { folder(trial).appending("base") }

    /// The program as it runs before the fix.
    func program(_ trial: Case) -> FilePath { tree(trial).appending(trial.package.program) }

    /// The patch, where it was made.
    func patch(_ trial: Case) -> FilePath { folder(trial).appending("fix.hpatch") }

    /// The version of the package that was fetched.
    func version(_ trial: Case) throws -> String {
        try folder(trial).appending("version").lines().first ?? ""
    }

    /// Fetches the sources and builds the program of a case, where that is still to do.
    func prepare(_ trial: Case) throws {
        let place = folder(trial)
        let package = trial.package
        let stamp = [package.version, trial.patch, package.configure, package.make].joined(
            separator: "\n")
        let done = place.appending("base.done")
        if let known = try? done.bytes(), known == Array(stamp.utf8) { return }
        progress("\(trial.name): fetching \(package.name) \(package.version)")
        let fetched = try run(
            scripts.appending("fetch.sh").string,
            [cache.string, package.name, package.version, trial.patch, trial.name])
        guard fetched.succeeded else {
            throw TestSupportError("cannot fetch \(package.name): \(fetched.errorOutput)")
        }
        progress("\(trial.name): building it as it is")
        let built = try run(
            "sh",
            [
                "-c",
                """
                set -e
                cd '\(place)'
                rm -rf base
                cp -a source base
                cd base
                { \(package.configure.isEmpty ? ":" : package.configure)
                \(package.make)
                } > ../base.log 2>&1
                """,
            ], environment: Self.environment)
        guard built.succeeded else {
            throw TestSupportError("cannot build \(package.name): see \(place)/base.log")
        }
        try done.write(Array(stamp.utf8))
    }

    /// Makes the patch as a user would, by a script that stays, to do it again with.
    func build(_ trial: Case) throws -> Command {
        progress("\(trial.name): making the patch")
        let script = folder(trial).appending("build")
        try script.write(Array(buildScript(trial).utf8), permissions: [.ownerReadWriteExecute])
        // None of an earlier run is taken for what is made now.
        _ = try Command.run("rm", ["-f", patch(trial).string])
        return try run(
            script.string, ["--format", "json", "-o", patch(trial).string],
            environment: ["HOTPATCH": hotpatch.string])
    }

    private func buildScript(_ trial: Case) -> String {
        let place = folder(trial)
        let package = trial.package
        func quoted(_ text: String) -> String {
            "'" + text.replacing("'", with: "'\\''") + "'"
        }
        // Where compilers are found is part of what the kept build depends on.
        let path = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/bin:/bin"
        let exports = Self.environment.merging(["PATH": path]) { $1 }.sorted { $0.key < $1.key }.map
        {
            "export \($0.key)=\(quoted($0.value))\n"
        }
        let options = [
            ("base", program(trial).string), ("source", place.appending("source").string),
            ("patch", place.appending("fix.diff").string), ("configure", package.configure),
            ("make", package.make), ("name", trial.fix), ("reference", trial.fix),
            ("work", place.appending("work").string),
        ].map { "    --\($0) \(quoted($1)) \\\n" }
        return """
            #!/bin/sh
            # Makes the patch of \(trial.name); takes the other options of 'hotpatch build'.
            \(exports.joined())exec "${HOTPATCH:-hotpatch}" build \\
            \(options.joined())    "$@"

            """
    }

    /// Runs something that may take as long as it wants, beside others' work.
    private func run(
        _ program: String, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> Command {
        let command = try RunningCommand(
            "nice", ["-n", "10", program] + arguments, environment: environment)
        while command.isRunning { usleep(20_000) }
        return try command.finish()
    }
}

/// Tells whoever watches what comes next.
func progress(_ text: String) {
    print(text)
    fflush(nil)
}
