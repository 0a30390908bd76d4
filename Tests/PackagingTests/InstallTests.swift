import SystemPackage
import TestSupport
import Testing

/// `make install` and `make uninstall`, into a folder.
@Suite struct InstallTests {
    private static let sources = FilePath(#filePath)
        .removingLastComponent().removingLastComponent().removingLastComponent()

    private let folder: TemporaryDirectory
    private let root: FilePath
    private let distribution: FilePath

    init() throws {
        folder = try TemporaryDirectory()
        root = folder.path.appending("root")
        distribution = folder.path.appending("dist")
        let products = try BuiltProduct.path("hotpatch").removingLastComponent()
        let result = try Command.run(
            Self.sources.appending("packaging/dist.sh").string,
            [products.string, distribution.string])
        try #require(result.succeeded, "\(result.output)\(result.errorOutput)")
    }

    private func make(_ target: String, _ variables: [String] = []) throws -> Command {
        try Command.run(
            "make",
            [
                "-s", "-C", Self.sources.string, target, "DIST=\(distribution)",
                "DESTDIR=\(root)",
            ] + variables, environment: ["MAKEFLAGS": ""])
    }

    private func files() throws -> [String] {
        try Command.run("find", [root.string, "-type", "f", "-printf", "%P\n"]).output
            .split(separator: "\n").map(String.init)
    }

    @Test func installsAndUninstalls() throws {
        let installed = try make("install", ["PREFIX=/usr"])
        try #require(installed.succeeded, "\(installed.errorOutput)")
        let files = try files()
        for file in [
            "usr/bin/hotpatch", "usr/include/hotpatch.h", "usr/share/man/man1/hotpatch.1",
            "usr/share/man/man1/hotpatch-apply.1", "usr/share/man/man5/hpatch.5",
            "usr/share/man/man8/hotpatch.service.8", "usr/lib/systemd/system/hotpatch.service",
            "usr/share/bash-completion/completions/hotpatch",
            "usr/share/zsh/site-functions/_hotpatch",
            "usr/share/fish/vendor_completions.d/hotpatch.fish",
        ] {
            #expect(files.contains(file), "\(file)")
        }
        let completions = root.appending("usr/share/bash-completion/completions/hotpatch")
        #expect(try Command.run("bash", ["-n", completions.string]).succeeded)

        try #require(try make("uninstall", ["PREFIX=/usr"]).succeeded)
        #expect(try self.files() == [])
    }

    /// The unit runs the program that was installed.
    @Test func theUnitFitsThePrefix() throws {
        try #require(try make("install").succeeded)
        let unit = root.appending("usr/local/lib/systemd/system/hotpatch.service")
        let lines = try unit.lines()
        #expect(lines.contains("ExecStart=/usr/local/bin/hotpatch watch"))
        #expect(!lines.contains { $0.contains("@BINDIR@") })
        for line in [
            "Type=notify", "NoNewPrivileges=yes", "ProtectSystem=strict",
            "ConditionKernelCommandLine=!hotpatch=off",
            "ConditionPathExists=!/etc/hotpatch/disabled",
        ] {
            #expect(lines.contains(line), "\(line)")
        }
    }

    /// By systemd's own judgement: every setting is one, and no more is left open than what
    /// a filter of system calls would close, which the service must not have.
    @Test(.enabled(if: FilePath("/usr/bin/systemd-analyze").exists))
    func theUnitIsSoundAndHardened() throws {
        // Where the program really is, for systemd looks.
        try #require(try make("install", ["PREFIX=\(folder.path)/usr", "DESTDIR="]).succeeded)
        let unit = "\(folder.path)/usr/lib/systemd/system/hotpatch.service"
        let verified = try Command.run("systemd-analyze", ["verify", "--man=no", unit])
        #expect(verified.succeeded && verified.errorOutput == "", "\(verified.errorOutput)")
        let judged = try Command.run(
            "systemd-analyze", ["security", "--offline=true", "--threshold=66", unit])
        #expect(judged.succeeded, "\(judged.output)")
        // Without the settings in question that are filters in truth (systemd.exec(5)).
        let settings = try FilePath(unit).lines().compactMap { $0.split(separator: "=").first }
        for filter in [
            "SystemCall", "Restrict", "MemoryDeny", "Lock", "PrivateDevices", "ProtectClock",
            "ProtectHostname", "ProtectKernel",
        ] {
            #expect(!settings.contains { $0.hasPrefix(filter) }, "\(filter)")
        }
    }

    @Test func nothingToInstall() throws {
        try #require(try Command.run("rm", ["-r", distribution.string]).succeeded)
        let result = try make("install")
        #expect(!result.succeeded)
        #expect(result.errorOutput.contains("run 'make dist' first"))
        #expect(try files() == [])
    }
}

extension FilePath {
    fileprivate var exists: Bool { (try? FileDescriptor.open(self, .readOnly).close()) != nil }
}
