import ELFImage
import Glibc
import SystemPackage

/// The user's C compiler.
struct Compiler {
    enum Family { case gcc, clang }

    /// The program, and what goes before all flags: $CC may be `ccache gcc`.
    let command: [String]
    let family: Family
    let userFlags: [String]
    /// The folder of hotpatch.h.
    private let headers: FilePath

    /// Asks the compiler what it is.
    init(
        command: String?, userFlags: [String], folder: borrowing TemporaryFolder
    ) throws(AuthoringError) {
        let fromEnvironment = unsafe getenv("CC").map { unsafe String(cString: $0) } ?? ""
        let words = fromEnvironment.split(separator: " ").map(String.init)
        let chosen = command.map { [$0] } ?? (words.isEmpty ? ["cc"] : words)
        self.command = chosen
        self.userFlags = userFlags
        headers = try folder.makeFolder("include")
        try Self.writeHeader(to: headers)
        let output = folder.path.appending("macros")
        let arguments = chosen + userFlags + ["-dM", "-E", "-x", "c", "/dev/null"]
        do throws(AuthoringError) {
            try Self.expectSuccess(of: chosen, on: "/dev/null") { () throws(Errno) in
                try ChildCommand.run(arguments, output: output)
            }
        } catch .compilerFailed(let compiler, _, let status) {
            // It had nothing to compile, so it was the flags.
            throw AuthoringError.compilerRefuses(
                compiler: compiler, flags: userFlags, status: status)
        }
        let macros = try Self.macros(in: output)
        // An ILP32 compiler (-mx32) has __x86_64__ too.
        guard macros.contains("__x86_64__"), macros.contains("__LP64__") else {
            throw AuthoringError.compilerMachine(compiler: chosen.joined(separator: " "))
        }
        family = macros.contains("__clang__") ? .clang : .gcc
    }

    /// Puts hotpatch.h into a folder.
    static func writeHeader(to folder: FilePath) throws(AuthoringError) {
        try writeFile(
            String(decoding: PackageResources.hotpatch_h, as: UTF8.self),
            to: folder.appending("hotpatch.h"))
    }

    private static func macros(in file: FilePath) throws(AuthoringError) -> Set<String> {
        let text = String(decoding: try readFile(file), as: UTF8.self)
        return Set(
            text.split(separator: "\n").compactMap { line in
                line.split(separator: " ").dropFirst().first.map(String.init)
            })
    }

    /// What is the same for all sources of a fix.
    struct Target {
        /// Whether the base is a program: thread-local variables are then at
        /// fixed offsets from the thread pointer.
        let isProgram: Bool
        let cet: CETFeatures

        fileprivate var flags: [String] {
            let protection =
                switch (cet.indirectBranchTracking, cet.shadowStack) {
                case (true, true): "full"
                case (true, false): "branch"
                case (false, true): "return"
                case (false, false): "none"
                }
            return ["-fcf-protection=\(protection)"]
                + (isProgram ? ["-ftls-model=initial-exec"] : [])
        }
    }

    /// Compiles `source` to `object`; diagnostics go to standard error.
    func compile(
        _ source: FilePath, to object: FilePath, for target: Target, extra: [String] = []
    ) throws(AuthoringError) {
        // -ffunction-sections and -fdata-sections: so that each function and
        // datum can be told from the next, whatever the linker script does.
        let defaults = [
            "-O2", "-ffunction-sections", "-fdata-sections", "-fasynchronous-unwind-tables",
        ]
        // A fix may define a static function that nothing in it calls.
        let keep = family == .gcc ? ["-fkeep-static-functions"] : []
        // The linker of patches relies on these, so no user flag undoes them. The
        // debug information tells return types, and is dropped in the end.
        let mandatory = ["-c", "-fPIC", "-fno-common", "-fno-lto", "-g"]
        try run(
            command + defaults + keep + target.flags + userFlags + includes + mandatory + extra
                + ["-o", object.string, source.string], on: source.string)
    }

    /// Compiles `source` so that every function in it is there, used or not, with
    /// errors and without warnings. Only the names serve.
    func compileEverything(
        _ source: FilePath, to object: FilePath
    ) throws(AuthoringError) {
        // What Clang emits it takes away again when it optimises.
        let keep =
            family == .gcc
            ? ["-fkeep-static-functions", "-fkeep-inline-functions"]
            : ["-femit-all-decls", "-O0"]
        let flags = ["-w", "-g", "-c", "-fPIC", "-fno-lto"]
        try run(
            command + ["-O2"] + userFlags + includes + flags + keep
                + ["-o", object.string, source.string], on: source.string)
    }

    /// What the names of the functions for shadow data start with.
    static let shadowPrefix = "hotpatch_shadow_"

    /// Compiles these functions to `object`, with none of the user's flags.
    func compileShadowData(to object: FilePath, for target: Target) throws(AuthoringError) {
        let source = headers.appending("hotpatch_shadow.c")
        try writeFile(
            String(decoding: PackageResources.hotpatch_shadow_c, as: UTF8.self), to: source)
        let flags = [
            "-O2", "-std=gnu17", "-ffunction-sections", "-fdata-sections",
            "-fasynchronous-unwind-tables", "-fno-stack-protector", "-fvisibility=hidden", "-c",
            "-fPIC", "-fno-lto",
        ]
        try run(
            command + flags + target.flags + includes
                + ["-x", "c", "-o", object.string, source.string], on: source.string)
    }

    /// Behind the user's own folders, which may have a newer one.
    private var includes: [String] { ["-isystem", headers.string] }

    /// Joins objects to one (`ld -r`).
    func merge(
        _ objects: [FilePath], to object: FilePath, withoutDebugInformation: Bool
    ) throws(AuthoringError) {
        let strip = withoutDebugInformation ? ["-Wl,--strip-debug"] : []
        try run(
            command + ["-r", "-nostdlib", "-Wl,--build-id=none"] + strip
                + ["-o", object.string] + objects.map(\.string), on: object.string)
    }

    private func run(_ arguments: [String], on source: String) throws(AuthoringError) {
        try Self.expectSuccess(of: command, on: source) { () throws(Errno) in
            try ChildCommand.run(arguments)
        }
    }

    private static func expectSuccess(
        of command: [String], on source: String, _ body: () throws(Errno) -> ChildCommand.Ending
    ) throws(AuthoringError) {
        let compiler = command.joined(separator: " ")
        let ending: ChildCommand.Ending
        do throws(Errno) {
            ending = try body()
        } catch {
            throw AuthoringError.compilerMissing(compiler: compiler, errno: error)
        }
        switch ending {
        case .exited(0): return
        // posix_spawn of older systems reports a missing program so.
        case .exited(127):
            throw AuthoringError.compilerMissing(compiler: compiler, errno: .noSuchFileOrDirectory)
        case .exited(let status):
            throw AuthoringError.compilerFailed(
                compiler: compiler, source: source, status: status)
        case .killed(let signal):
            throw AuthoringError.compilerKilled(compiler: compiler, signal: signal)
        }
    }
}

/// All bytes of a file that we or the compiler made.
func readFile(_ path: FilePath) throws(AuthoringError) -> [UInt8] {
    do {
        let file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        return try file.closeAfter {
            var bytes: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = try unsafe piece.withUnsafeMutableBytes {
                    try unsafe file.read(into: $0)
                }
                if count == 0 { return bytes }
                bytes += piece[..<count]
            }
        }
    } catch {
        throw AuthoringError.system(
            name: path.string, action: "read", errno: error as? Errno ?? .ioError)
    }
}

/// Writes a new file in a temporary folder.
func writeFile(_ text: String, to path: FilePath) throws(AuthoringError) {
    try writeFile(Array(text.utf8), to: path)
}

/// The same with any bytes.
func writeFile(_ bytes: [UInt8], to path: FilePath) throws(AuthoringError) {
    do {
        let file = try FileDescriptor.open(
            path, .writeOnly, options: [.create, .truncate, .closeOnExec],
            permissions: .ownerReadWrite)
        _ = try file.closeAfter { try file.writeAll(bytes) }
    } catch {
        throw AuthoringError.system(
            name: path.string, action: "write", errno: error as? Errno ?? .ioError)
    }
}

/// `path` from the root of the file system.
func absolute(_ path: FilePath) throws(AuthoringError) -> FilePath {
    let resolved: FilePath? = unsafe path.withPlatformString { platform in
        guard let text = unsafe realpath(platform, nil) else { return nil }
        defer { unsafe free(text) }
        return unsafe FilePath(platformString: text)
    }
    guard let resolved else {
        throw AuthoringError.system(
            name: path.string, action: "find", errno: Errno(rawValue: errno))
    }
    return resolved
}
