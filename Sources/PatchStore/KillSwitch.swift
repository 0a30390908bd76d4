import Glibc
import SystemPackage

/// The ways to keep the tool from patching programs that start, for a machine in
/// trouble: a word on the kernel's command line, and a file.
public enum KillSwitch {
    /// The word.
    public static let argument = "hotpatch=off"
    /// The file below the configuration directory whose presence is enough.
    public static let fileName = "disabled"

    /// What has switched it off, for people; nil where nothing has.
    ///
    /// - Parameters:
    ///   - configuration: ``Locations/config``.
    ///   - commandLine: where the kernel shows its own (proc_cmdline(5)).
    public static func reason(
        configuration: FilePath, commandLine: FilePath = "/proc/cmdline"
    ) -> String? {
        if isSet(onCommandLine: contents(of: commandLine)) {
            return "'\(argument)' on the kernel's command line"
        }
        let file = file(in: configuration)
        return isThere(file) ? "the file '\(file)'" : nil
    }

    public static func file(in configuration: FilePath) -> FilePath {
        configuration.appending(fileName)
    }

    /// Not opened: whatever lies there, it means no.
    public static func isThere(_ file: FilePath) -> Bool {
        var facts = stat()
        return unsafe lstat(file.string, &facts) == 0
    }

    public static func isSet(onCommandLine text: String) -> Bool {
        text.split { $0 == " " || $0 == "\n" }.contains { $0 == argument }
    }

    /// Empty where it cannot be read: a container may hide it.
    private static func contents(of path: FilePath) -> String {
        guard let file = try? OpenFile(path, O_RDONLY) else { return "" }
        // No longer than that (COMMAND_LINE_SIZE).
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe read(file.rawValue, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }
}
