import PatchStore
import SystemPackage

/// The service, its places, and the compiler.
extension MachineFacts {
    var serviceFindings: [Finding] {
        directories.map(directoryFinding) + [switchFinding, serviceFinding, compilerFinding]
    }

    /// What lies in the state directory runs with the rights of every program that it
    /// names, so nobody else may write there.
    private func directoryFinding(_ directory: DirectoryFacts) -> Finding {
        let id = "directory.\(directory.kind.rawValue)"
        let title = "\(directory.kind.rawValue) directory"
        let path = directory.path.string
        switch directory.condition {
        case .absent:
            return Finding(
                id, title, found: "\(path), not there", for: .service,
                meaning: "it is made when it is needed first")
        case .unusable(let reason):
            return Finding(
                id, title, found: "\(path), \(reason)", .missing, for: .service,
                meaning: "it cannot be used", remedy: isRoot ? "ls -ld \(path)" : "sudo hotpatch …")
        case .present(let owner, let mode) where mode & 0o022 != 0:
            return Finding(
                id, title, found: "\(path), owner \(owner), mode \(octal(mode))", .missing,
                for: .service,
                meaning:
                    "others can write there, and what lies there runs with the rights of every "
                    + "program that it names; it is refused",
                remedy: "sudo chmod go-w \(path)")
        case .present(let owner, let mode) where owner != 0 && owner != userID:
            return Finding(
                id, title, found: "\(path), owner \(owner), mode \(octal(mode))", .missing,
                for: .service, meaning: "it belongs to somebody else, and is refused",
                remedy: "sudo chown root: \(path)")
        case .present(_, let mode):
            return Finding(
                id, title, found: "\(path), mode \(octal(mode))", for: .service,
                meaning: "nobody else can write there")
        }
    }

    private func octal(_ mode: UInt32) -> String {
        let digits = String(mode, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }

    private var switchFinding: Finding {
        let id = "service.switch"
        let title = "kill switch"
        if KillSwitch.isSet(onCommandLine: commandLine.text ?? "") {
            return Finding(
                id, title, found: "\(KillSwitch.argument) on the kernel's command line", .missing,
                for: .service, meaning: "the service does nothing",
                remedy: "boot without \(KillSwitch.argument)")
        }
        if isDisabledByFile {
            return Finding(
                id, title, found: "the configuration has a file 'disabled'", .missing,
                for: .service, meaning: "the service does nothing",
                remedy: "sudo rm \(disabledFile); sudo systemctl start hotpatch")
        }
        return Finding(
            id, title, found: "not set", for: .service, meaning: "the service may run")
    }

    private var disabledFile: String {
        let configuration = directories.first { $0.kind == .config }?.path
        return KillSwitch.file(in: configuration ?? Locations.standard.config).string
    }

    private var serviceFinding: Finding {
        let id = "service.running"
        let title = "service"
        let start = "sudo systemctl enable --now hotpatch"
        switch service {
        case .running(let pid, let mode, let window):
            // The other modes are what it falls back to, or that it is switched off.
            return Finding(
                id, title, found: "process \(pid), \(mode)",
                mode == "exec-permission" ? .ok : .limits, for: .service,
                meaning: "what may run unpatched: \(window)")
        case .notStarted:
            return Finding(
                id, title, found: "does not run", .limits, for: .service,
                meaning: "what starts from now on runs unpatched", remedy: start)
        case .gone(let pid):
            return Finding(
                id, title, found: "process \(pid) has ended", .limits, for: .service,
                meaning: "what starts from now on runs unpatched",
                remedy: "sudo systemctl restart hotpatch")
        case .unreadable(let reason):
            return Finding(
                id, title, found: "not known: \(reason)", .limits, for: .service,
                meaning: "what it says of itself cannot be read",
                remedy: isRoot ? "systemctl status hotpatch" : "sudo hotpatch doctor")
        }
    }

    private var compilerFinding: Finding {
        guard let compiler else {
            return Finding(
                "build.compiler", "C compiler", found: "none", .missing, for: .build,
                meaning: "patches cannot be made here; made elsewhere, they can be applied",
                remedy: "sudo apt-get install gcc")
        }
        return Finding(
            "build.compiler", "C compiler", found: compiler, for: .build,
            meaning: "patches can be made here")
    }
}
