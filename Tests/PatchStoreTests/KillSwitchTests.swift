import Glibc
import PatchStore
import SystemPackage
import TestSupport
import Testing

/// A word on the kernel's command line or a file keeps the tool from patching starts,
/// and nothing that resembles them does.
struct KillSwitchTests {
    @Test(arguments: [
        ("BOOT_IMAGE=/vmlinuz ro hotpatch=off\n", true), ("hotpatch=off quiet\n", true),
        ("hotpatch=offline\n", false), ("nohotpatch=off\n", false), ("hotpatch=off=no", false),
        ("", false),
    ])
    func theKernelsCommandLine(_ text: String, _ isOff: Bool) throws {
        let directory = try TemporaryDirectory()
        let commandLine = directory.path.appending("cmdline")
        try commandLine.write(Array(text.utf8))
        let reason = KillSwitch.reason(configuration: directory.path, commandLine: commandLine)
        #expect((reason != nil) == isOff, "\(reason ?? "")")
    }

    /// Also where nothing can be read: a link to nowhere, a directory.
    @Test func theFile() throws {
        let directory = try TemporaryDirectory()
        let commandLine = directory.path.appending("no-cmdline")
        func reason(_ configuration: FilePath) -> String? {
            KillSwitch.reason(configuration: configuration, commandLine: commandLine)
        }
        #expect(reason(directory.path) == nil)
        #expect(reason(directory.path.appending("missing")) == nil)
        let configuration = try directory.makeDirectory()
        let link = configuration.appending(KillSwitch.fileName)
        try #require(unsafe symlink("nowhere", link.string) == 0)
        #expect(reason(configuration)?.contains(link.string) == true)
        try link.remove()
        try #require(unsafe mkdir(link.string, 0o755) == 0)
        #expect(reason(configuration)?.contains(link.string) == true)
    }
}
