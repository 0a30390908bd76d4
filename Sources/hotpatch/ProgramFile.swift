import Glibc
import HotpatchKit
import SystemPackage

/// A path that no process was found to run, and what its file tells about that.
struct ProgramFile {
    let path: String

    /// Why no process runs it, or nil where it may well be a program.
    func obstacle() -> Failure? {
        var facts = stat()
        guard unsafe stat(path, &facts) == 0 else {
            return errno == ENOENT || errno == ENOTDIR ? missing : nil
        }
        switch facts.st_mode & S_IFMT {
        case S_IFREG:
            return contentObstacle
        case S_IFDIR:
            return failure(
                "program.directory", "'\(path)' is a directory; name the program's file")
        default:
            return failure("program.not-a-file", "'\(path)' is not a regular file")
        }
    }

    private var missing: Failure {
        failure(
            "program.no-file",
            "there is no file '\(path)', and no process runs a deleted file of that name"
                + FileName.advice(on: path))
    }

    private var contentObstacle: Failure? {
        do throws(ELFError) {
            let image = try ELFImage.open(path: FilePath(path))
            guard image.kind == .sharedObject, try image.interpreter() == nil else { return nil }
            return failure(
                "program.library",
                "no process runs '\(path)', which is a shared library; use --all for the "
                    + "processes that have it mapped")
        } catch .notELF {
            return Script(FilePath(path)).map { script in
                failure(
                    "program.script",
                    "'\(path)' is a script: its processes run the interpreter "
                        + "'\(script.command)'; a patch is for that program or a library")
            }
        } catch {
            // Whatever it is, nobody was found to run it.
            return nil
        }
    }

    private func failure(_ code: String, _ message: String) -> Failure {
        Failure(status: .noSuchTarget, code: code, message: message)
    }
}

/// The name of a file as it was given on the command line.
enum FileName {
    /// What to add where there is no such file. Bytes of an argument that are not
    /// UTF-8 are replaced before anybody sees them.
    static func advice(on path: String) -> String {
        path.unicodeScalars.contains("\u{fffd}")
            ? "; file names must be UTF-8, and this one has other bytes: call the file by a "
                + "link with another name" : ""
    }
}
