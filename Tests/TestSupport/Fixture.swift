import Glibc
import Synchronization
import SystemPackage

/// Programs compiled for the tests from `Tests/Fixtures`.
public enum Fixture {
    /// The folder of the C sources.
    public static let sources = FilePath(#filePath)
        .removingLastComponent().removingLastComponent().appending("Fixtures")

    private static let compiled = Mutex<[String: FilePath]>([:])
    private static let directory = TemporaryDirectory.forWholeRun

    /// Compiles `Tests/Fixtures/NAME.c` with cc, or where NAME has a suffix the file of
    /// that name, and returns the result's path.
    /// The same source with the same flags is compiled once a run, so nobody
    /// may write to the file: copy it first.
    public static func compile(
        _ name: String, flags: [String] = ["-O2", "-g", "-pthread"], output: String? = nil
    ) throws -> FilePath {
        let key = "\(name) \(flags) \(output ?? "")"
        return try compiled.withLock { known in
            if let path = known[key] { return path }
            let source = sources.appending(FilePath(name).extension == nil ? name + ".c" : name)
            let path = try directory.get().makeDirectory().appending(output ?? name)
            try compile(source: source, to: path, flags: flags)
            known[key] = path
            return path
        }
    }

    /// Compiles any C source. Libraries among the flags come behind the source.
    public static func compile(source: FilePath, to path: FilePath, flags: [String]) throws {
        let compiler = source.extension == "cc" ? "c++" : "cc"
        let command = try Command.run(compiler, [source.string, "-o", path.string] + flags)
        guard command.succeeded else {
            throw TestSupportError("\(compiler) \(source) \(flags) failed:\n\(command.errorOutput)")
        }
    }

    /// Compiles a program of `Tests/Fixtures/startup`, as `program` in `folder`, perhaps
    /// with its library, as `libstart.so` there.
    public static func compileStartup(
        _ source: String = "program", in folder: FilePath, flags: [String], withLibrary: Bool
    ) throws -> (program: FilePath, library: FilePath) {
        let program = folder.appending("program")
        let library = folder.appending("libstart.so")
        let sources = sources.appending("startup")
        var flags = ["-O2", "-g", "-Wall", "-Werror"] + flags
        if withLibrary {
            try compile(
                source: sources.appending("library.c"), to: library,
                flags: ["-O2", "-g", "-shared", "-fPIC", "-Wl,-soname,libstart.so"])
            flags += ["-DLIBRARY", library.string, "-Wl,-rpath,\(folder)", "-Wl,--no-as-needed"]
        }
        try compile(source: sources.appending(source + ".c"), to: program, flags: flags)
        return (program, library)
    }
}

/// A folder that goes away with this value, and what is in it too.
public final class TemporaryDirectory: Sendable {
    public let path: FilePath

    public init() throws {
        var template = Array("/tmp/hotpatch-test.XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else {
            throw TestSupportError("cannot make a temporary folder: error \(errno)")
        }
        path = FilePath(String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self))
    }

    deinit { remove() }

    /// A new folder inside.
    public func makeDirectory() throws -> FilePath {
        var template = Array(path.appending("XXXXXX").string.utf8CString)
        guard unsafe mkdtemp(&template) != nil else {
            throw TestSupportError("cannot make a folder in \(path): error \(errno)")
        }
        return FilePath(String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self))
    }

    /// A file inside, with the bytes of `text`.
    public func write(_ text: String, to name: String) throws -> FilePath {
        let file = path.appending(name)
        let descriptor = try FileDescriptor.open(
            file, .writeOnly, options: [.create, .truncate], permissions: [.ownerReadWrite])
        try descriptor.closeAfter { _ = try descriptor.writeAll(Array(text.utf8)) }
        return file
    }

    fileprivate func remove() {
        do { _ = try Command.run("rm", ["-rf", path.string]) } catch {
            print("cannot remove \(path): \(error)")
        }
    }

    /// One folder for what all tests share, removed when the run ends.
    public static let forWholeRun: Result<TemporaryDirectory, any Error> = Result {
        let directory = try TemporaryDirectory()
        atexit {
            if case .success(let directory) = TemporaryDirectory.forWholeRun { directory.remove() }
        }
        return directory
    }
}
