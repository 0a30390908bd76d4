import SystemPackage

/// A program under test to which the kernel gives no files in memory that can be
/// executed, so that what is mapped into it has no name.
public struct NamelessVictim {
    /// What started the program, and passes its input and output on.
    public let victim: Victim
    /// The program, as this test knows it.
    public let pid: Int32

    /// The setting holds for a pid namespace.
    private static let namespaces = ["--map-root-user", "--pid", "--fork", "--mount-proc"]
    private static let forbid = "echo 2 >/proc/sys/vm/memfd_noexec"

    /// The kernel may be older than the setting (6.3), and namespaces may be forbidden.
    public static let isAvailable: Bool = {
        let tried = try? Command.run("unshare", namespaces + ["sh", "-c", forbid])
        return tried?.succeeded ?? false
    }()

    /// Waits until the program has said that it is ready.
    public init(_ program: FilePath, _ arguments: [String] = []) throws {
        victim = try Victim(
            FilePath("/usr/bin/unshare"),
            Self.namespaces + ["--kill-child", "sh", "-c", Self.forbid + "; exec \"$@\"", "sh"]
                + [program.string] + arguments)
        _ = try victim.readLine(startingWith: "ready")
        let children = FilePath("/proc/\(victim.pid)/task/\(victim.pid)/children")
        guard let line = try children.lines().first, let pid = Int32(line.prefix { $0 != " " })
        else { throw TestSupportError("process \(victim.pid) has no child") }
        self.pid = pid
    }
}
