import CLinuxTrace
import ELFImage
import Glibc
import LiveProcess
import PatchFile
import SystemPackage

/// The file that a command names, and the program that runs when it is run.
public struct RunnableFile: Sendable {
    /// What execve(2) is given.
    public let path: FilePath
    /// The file itself or, of a script, the interpreter that runs in the end.
    public let program: FilePath

    /// Looks for a command as a shell does.
    ///
    /// - Parameter folders: where one whose name has no slash is looked for, as in the
    ///   environment variable PATH; where it is not set, in the usual two.
    public init(command: FilePath, folders: String?) throws(RunnableFileError) {
        path = try Self.find(command, in: folders ?? "/bin:/usr/bin")
        var program = path
        // As deep as the kernel goes (fs/exec.c, exec_binprm).
        for _ in 0..<5 {
            guard let script = Script(program) else { break }
            program = script.interpreter
        }
        self.program = program
    }

    private static func find(
        _ command: FilePath, in folders: String
    ) throws(RunnableFileError) -> FilePath {
        // A slash behind the name is not part of a FilePath: './' and '..' are no names
        // that a folder of PATH could have.
        if command.string.contains("/") || command.lastComponent?.kind != .regular,
            !command.isEmpty
        {
            if let defect = defect(of: command) { throw defect }
            return command
        }
        guard !command.isEmpty else { throw .notFound(command, searched: nil) }
        // What is there and cannot be run is the answer only where nothing else is.
        var found: RunnableFileError?
        for folder in folders.split(separator: ":", omittingEmptySubsequences: false) {
            let path = FilePath(folder.isEmpty ? "." : String(folder)).pushing(command)
            guard let defect = defect(of: path) else { return path }
            if case .notFound = defect { continue }
            found = found ?? defect
        }
        throw found ?? .notFound(command, searched: folders)
    }

    private static func defect(of path: FilePath) -> RunnableFileError? {
        unsafe path.withPlatformString { name -> RunnableFileError? in
            var facts = stat()
            guard unsafe stat(name, &facts) == 0 else {
                let error = Errno(rawValue: errno)
                return [.noSuchFileOrDirectory, .notDirectory].contains(error)
                    ? .notFound(path, searched: nil) : .cannotRun(path, error)
            }
            if facts.st_mode & S_IFMT == S_IFDIR { return .directory(path) }
            guard unsafe faccessat(AT_FDCWD, name, X_OK, AT_EACCESS) == 0 else {
                return .notExecutable(path)
            }
            return nil
        }
    }

    /// By what patches of the program are recognised; nil where it cannot be read, or
    /// is no program of this machine.
    public var identity: BaseIdentity? {
        do throws(ELFError) {
            return try BaseIdentity(of: ELFImage.open(path: program))
        } catch {
            return nil
        }
    }

    /// The file by device and inode; nil where it is gone.
    public var file: FileIdentity? {
        var facts = stat()
        guard unsafe program.withPlatformString({ unsafe stat($0, &facts) }) == 0 else {
            return nil
        }
        return FileIdentity(device: UInt64(facts.st_dev), inode: UInt64(facts.st_ino))
    }

    /// The rights that the program has beyond the caller's, and that the kernel does
    /// not give it where a process without CAP_SYS_PTRACE traces it (execve(2)); nil
    /// where there are none, or the caller has that capability.
    public var rightsLostToTracing: String? {
        if TargetProcess.mayCallerTraceAll { return nil }
        return unsafe program.withPlatformString { name -> String? in
            var facts = stat()
            guard unsafe stat(name, &facts) == 0 else { return nil }
            if facts.st_mode & S_ISUID != 0, facts.st_uid != geteuid() {
                return "those of user \(facts.st_uid) (set-user-ID)"
            }
            if facts.st_mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP,
                facts.st_gid != getegid()
            {
                return "those of group \(facts.st_gid) (set-group-ID)"
            }
            return unsafe clinux_has_capabilities(name) == 1 ? "capabilities of its own" : nil
        }
    }
}

/// Why a command cannot be run.
public enum RunnableFileError: Error, Equatable, Sendable {
    /// `searched` is PATH where it was looked for there.
    case notFound(FilePath, searched: String?)
    case directory(FilePath)
    case notExecutable(FilePath)
    case missingInterpreter(FilePath, FilePath)
    case cannotRun(FilePath, Errno)

    /// What execve(2) answered for a file that was found.
    public init(_ error: Errno, of file: RunnableFile) {
        switch error {
        case .noSuchFileOrDirectory where file.program != file.path:
            self = .missingInterpreter(file.path, file.program)
        case .noSuchFileOrDirectory:
            self = .notFound(file.path, searched: nil)
        default:
            self = .cannotRun(file.path, error)
        }
    }

    /// Nothing is there, other than something that cannot be run.
    public var isAbsence: Bool {
        switch self {
        case .notFound, .missingInterpreter: true
        case .directory, .notExecutable, .cannotRun: false
        }
    }

    /// A stable code for scripts.
    public var code: String {
        switch self {
        case .notFound: "run.not-found"
        case .directory: "run.directory"
        case .notExecutable: "run.not-executable"
        case .missingInterpreter: "run.missing-interpreter"
        case .cannotRun: "run.failed"
        }
    }
}

extension RunnableFileError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notFound(let path, let folders?):
            "cannot run '\(path)': there is no such command in PATH (\(folders))"
        case .notFound(let path, nil):
            "cannot run '\(path)': there is no such file"
        case .directory(let path):
            "cannot run '\(path)', which is a directory; name a program in it"
        case .notExecutable(let path):
            "cannot run '\(path)': you may not execute it; if it is a program, mend that with: "
                + "chmod +x \(path)"
        case .missingInterpreter(let path, let interpreter):
            "cannot run '\(path)': its interpreter '\(interpreter)' is missing"
        case .cannotRun(let path, let error):
            "cannot run '\(path)': \(error)"
        }
    }
}
