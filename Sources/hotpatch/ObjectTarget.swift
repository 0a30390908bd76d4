import ArgumentParser
import HotpatchKit
import SystemPackage

/// TARGET and `--object`: a file, or an object of a process.
struct ObjectTarget: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "A process id, or the path of a program or library.", valueName: "target"))
    var target: String

    @Option(
        help: ArgumentHelp(
            "A library of the process: its path or file name ('libfoo.so').", valueName: "name"))
    var object: String?

    /// A number is a process id; a file of such a name is './123'.
    private var processID: Int32? { Int32(target).flatMap { $0 > 0 ? $0 : nil } }

    func validate() throws {
        if object != nil && processID == nil {
            throw ValidationError("--object goes with a process id; name the library's path.")
        }
    }

    func open() throws -> ExaminedObject {
        guard let processID else { return try openFile() }
        let process = try TargetProcess.find(ProcessID(rawValue: processID))
        try process.requireSupportedProgram()
        return try ExaminedObject(try choose(from: try process.loadedObjects()), of: process)
    }

    private func openFile() throws -> ExaminedObject {
        let object: ExaminedObject
        do throws(ELFError) {
            object = try ExaminedObject(path: FilePath(target))
        } catch {
            guard case .system(_, _, .noSuchFileOrDirectory) = error else { throw error }
            throw Failure(
                status: .noSuchTarget, code: "file.none",
                message: "there is no file '\(target)'; TARGET is a process id or a path"
                    + FileName.advice(on: target))
        }
        guard object.image.section(named: PatchFile.manifestSection) == nil else {
            throw Failure(
                status: .failed, code: "file.patch",
                message:
                    "'\(target)' is a patch; 'hotpatch show \(target)' tells what it replaces, "
                    + "and in which program or library")
        }
        return object
    }

    private func choose(from objects: [LoadedObject]) throws(Failure) -> LoadedObject {
        let found = object.map(objects.called) ?? objects.program.map { [$0] } ?? []
        if found.count == 1 { return found[0] }
        let list = (found.isEmpty ? objects : found).map { "\n  \($0.path)" }.joined()
        let wanted = object.map { "'\($0)'" } ?? "a program that can be read"
        throw Failure(
            status: .noSuchTarget, code: found.isEmpty ? "object.none" : "object.ambiguous",
            message: found.isEmpty
                ? "process \(target) has not mapped \(wanted); it has:\(list)"
                : "process \(target) has mapped \(wanted) more than once; give the path:\(list)")
    }
}
