import ArgumentParser
import HotpatchKit
import SystemPackage

struct Uninstall: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Take a patch out, and apply it no more.",
        discussion: """
            The patch is removed from the store and reverted in all processes. Where processes \
            cannot be reverted now, the exit code is 4; the same command tries them again.
            """)

    @Argument(help: ArgumentHelp("Names of installed patches.", valueName: "NAME"))
    var names: [String] = []

    @Flag(help: "Every patch that is installed.")
    var all = false

    @Flag(
        help: """
            Those that nobody needs any more: no process runs their base, and the file on disk is \
            a build that contains the fix.
            """)
    var retired = false

    @Flag(help: "Leave the processes as they are: the patch lasts until they end.")
    var keepRunning = false

    @OptionGroup var arguments: StoreArguments
    var diagnostics: DiagnosticOptions { arguments.diagnostics }

    func validate() throws {
        guard [!names.isEmpty, all, retired].count(where: \.self) == 1 else {
            throw ValidationError("Say which patches: NAME ..., --all or --retired.")
        }
    }

    func run() throws {
        try arguments.run(
            .uninstall, of: names.map { AuditedWork.Subject(name: $0) },
            touchesProcesses: !keepRunning,
            nothing: retired ? "No installed patch is retired." : "No patch is installed."
        ) { change throws(Failure) in
            let contents: StoreContents
            do throws(StoreError) { contents = try change.read() } catch { throw Failure(error) }
            let going = try chosen(from: contents)
            do throws(StoreError) {
                return try uninstall(going, of: contents, change)
            } catch {
                throw Failure(error)
            }
        }
    }

    private func chosen(from contents: StoreContents) throws(Failure) -> [SeriesEntry] {
        if all { return contents.entries }
        guard retired else { return contents.entries.filter { names.contains($0.id.name) } }
        do throws(Errno) {
            return try Switchover.retired(among: contents).map(\.entry)
        } catch {
            throw Failure(
                status: .failed, code: "process.search",
                message: "cannot look for processes that run the patches' bases: \(error)")
        }
    }

    private func uninstall(
        _ going: [SeriesEntry], of contents: StoreContents, _ change: borrowing StoreChange
    ) throws(StoreError) -> [StoreRow] {
        // What was uninstalled and is still in a process can be named again.
        let gone = contents.withdrawn.filter { all || names.contains($0.id.name) }
        let known = Set(going.map(\.id.name) + gone.map(\.id.name))
        if let unknown = names.first(where: { !known.contains($0) }) {
            throw .refused(
                .notInstalled(name: unknown, installed: contents.entries.map(\.id.name)))
        }
        try change.uninstall(going)
        if keepRunning {
            try change.noteGone(
                Set(gone + going.map { WithdrawnPatch(id: $0.id, base: $0.base) }))
        }
        return going.map { entry in
            let file = contents.patches.first { $0.entry == entry }?.file
            return StoreRow(
                id: entry.id, base: entry.base, baseName: file?.manifest.base.fileName ?? "",
                outcome: .uninstalled)
        }
            + gone.map {
                StoreRow(id: $0.id, base: $0.base, baseName: "", outcome: .uninstalledBefore)
            }
    }
}
