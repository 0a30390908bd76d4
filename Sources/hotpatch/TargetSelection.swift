import ArgumentParser
import Glibc
import HotpatchKit
import SystemPackage

/// `--pid`, `--exe` and `--all`: which processes a command is for.
struct TargetSelection: ParsableArguments {
    @Option(
        name: .customLong("pid"), parsing: .upToNextOption,
        help: ArgumentHelp(
            "These processes. Where the command takes FIX.hpatch, put it before --pid.",
            valueName: "pid"))
    var pids: [Int32] = []

    @Option(help: ArgumentHelp("Every process that runs this program.", valueName: "path"))
    var exe: String?

    @Flag(help: "Every process that it can be done for.")
    var all = false

    var isEmpty: Bool { pids.isEmpty && exe == nil && !all }

    func validate() throws {
        let chosen = [!pids.isEmpty, exe != nil, all].count(where: \.self)
        guard chosen <= 1 else {
            throw ValidationError("--pid, --exe and --all exclude one another.")
        }
        if let wrong = pids.first(where: { $0 <= 0 }) {
            throw ValidationError("A process id is a positive number, not \(wrong).")
        }
    }

    /// The processes meant, each found or with the reason why it is not.
    ///
    /// - Parameters:
    ///   - everyProcess: what `--all` stands for with this command.
    ///   - none: what to say where that is no process.
    func find(
        all everyProcess: () throws(Errno) -> ProcessSearch, none: String
    ) throws(Failure) -> [(id: ProcessID, process: Result<TargetProcess, LiveProcessError>)] {
        let ids: [ProcessID]
        if pids.isEmpty {
            ids = try search(all: everyProcess, none: none)
        } else {
            var seen: Set<Int32> = []
            ids = pids.filter { seen.insert($0).inserted }.map(ProcessID.init(rawValue:))
        }
        return ids.map { id in
            do throws(LiveProcessError) {
                return (id, .success(try TargetProcess.find(id)))
            } catch {
                return (id, .failure(error))
            }
        }
    }

    private func search(
        all everyProcess: () throws(Errno) -> ProcessSearch, none: String
    ) throws(Failure) -> [ProcessID] {
        let search: ProcessSearch
        do throws(Errno) {
            if let exe {
                search = try ProcessSearch.running(FilePath(exe))
            } else {
                search = try everyProcess()
            }
        } catch {
            throw Failure(
                status: .failed, code: "process.search",
                message:
                    "cannot look for processes\(exe.map { " that run '\($0)'" } ?? ""): \(error)")
        }
        if search.found.isEmpty, let obstacle = exe.flatMap({ ProgramFile(path: $0).obstacle() }) {
            throw obstacle
        }
        // Root may look at every process that a program could run in, but for what
        // a security module keeps to itself.
        if search.found.isEmpty, !search.notPermitted.isEmpty, geteuid() != 0 {
            throw Failure(
                status: .notPermitted, code: "process.not-permitted",
                message: "found no such process among those that you may look at; "
                    + "\(search.notPermitted.count) others belong to other users: run this as root")
        }
        if search.found.isEmpty {
            throw Failure(
                status: .noSuchTarget, code: "process.none",
                message: exe.map { "no process runs '\($0)'" } ?? none)
        }
        return search.found
    }
}

extension TargetSelection {
    func requireChoice() throws {
        if isEmpty {
            throw ValidationError("Say which processes: --pid N, --exe PATH or --all.")
        }
    }

    /// Does `action` to each of the processes, several at a time.
    ///
    /// - Parameter files: the patches, whose bases `--all` looks for.
    func each(
        of files: [PatchFile], audit: AuditedWork?,
        _ action: @Sendable (TargetProcess) throws(SwitchoverError) -> [SwitchReport]
    ) throws(Failure) -> [TargetResult] {
        try each(
            audit: audit,
            all: { () throws(Errno) in try ProcessSearch.mapping(files.map(\.manifest.base)) },
            none: files.count == 1
                ? "no process has the patch's base mapped"
                : "no process has the bases of all these patches mapped", action)
    }

    /// Does `action`, which may consist of several switches, to each of the processes,
    /// and tells the log.
    func each(
        audit: AuditedWork?, all everyProcess: () throws(Errno) -> ProcessSearch, none: String,
        _ action: @Sendable (TargetProcess) throws(SwitchoverError) -> [SwitchReport]
    ) throws(Failure) -> [TargetResult] {
        // Until all is said, so that what was done is told in any case.
        try HeldSignals.during { () throws(Failure) in
            let targets = try find(all: everyProcess, none: none)
            defer { audit?.trail.finish() }
            return WorkerThreads.map(targets) { id, found in
                let process: TargetProcess
                do throws(LiveProcessError) { process = try found.get() } catch {
                    return [TargetResult(id: id, name: "", outcome: .failure(Failure(error)))]
                }
                let results = results(of: action, in: process)
                audit?.note(results, in: process)
                return results
            }.flatMap(\.self)
        }
    }

    private func results(
        of action: (TargetProcess) throws(SwitchoverError) -> [SwitchReport],
        in process: TargetProcess
    ) -> [TargetResult] {
        do throws(SwitchoverError) {
            return try action(process).map {
                TargetResult(id: process.id, name: process.name, outcome: .success($0))
            }
        } catch {
            return [
                TargetResult(
                    id: process.id, name: process.name, outcome: .failure(Failure(error)))
            ]
        }
    }
}
