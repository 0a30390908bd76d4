import Glibc
import SystemPackage

/// An executable of this package, as it was built together with the tests. The
/// test target must depend on it.
public enum BuiltProduct {
    public static func path(_ name: String) throws -> FilePath {
        let path = try folder().appending(name)
        guard unsafe access(path.string, X_OK) == 0 else {
            throw TestSupportError("\(path) is not there: is it a dependency of the test target?")
        }
        return path
    }

    /// The test bundle lies beside the executables. It is this process's program,
    /// or what the program was given to run.
    private static func folder() throws -> FilePath {
        let arguments = CommandLine.arguments
        if let option = arguments.firstIndex(of: "--test-bundle-path"),
            arguments.indices.contains(option + 1)
        {
            return FilePath(arguments[option + 1]).removingLastComponent()
        }
        guard let program = unsafe realpath("/proc/self/exe", nil) else {
            throw TestSupportError("cannot read /proc/self/exe: error \(errno)")
        }
        defer { unsafe free(program) }
        return FilePath(unsafe String(cString: program)).removingLastComponent()
    }
}
