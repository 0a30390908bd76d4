import ArgumentParser
import Glibc
import HotpatchKit
import JSONText

struct ListSymbols: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "List the functions of a program or library, and how each can be patched.",
        discussion: """
            Every function is listed once, whatever number of names it has, with one verdict. \
            Those without a name are known from the unwind table. PATTERN is a shell pattern \
            ('parse_*') or a part of a name.
            """)

    enum Order: String, ExpressibleByArgument, CaseIterable {
        case address, name, size, verdict
    }

    @OptionGroup var target: ObjectTarget
    @Argument(help: "Only functions with such a name.")
    var pattern: String?
    @Flag(help: "Only functions that can be patched.")
    var patchable = false
    @Flag(help: "Only functions that cannot be patched.")
    var unpatchable = false
    @Option(help: "The order: 'address', 'name', 'size' (largest first) or 'verdict'.")
    var sort: Order = .address
    @Flag(help: "Only count them by verdict, and how many a replacement can still call.")
    var summary = false
    @OptionGroup var output: OutputOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func validate() throws {
        if patchable && unpatchable {
            throw ValidationError("--patchable and --unpatchable exclude one another.")
        }
    }

    func run() throws {
        let object = try target.open()
        object.reportRejectedDebugFiles()
        let catalog = try object.catalog()
        if summary {
            try summary(of: catalog, in: object).print(output.format)
        } else {
            let found = sorted(records(catalog))
            try FunctionList(found, of: catalog, in: object).print(output.format)
            // Whoever names a function exactly has found it.
            if let pattern, !found.contains(where: { $0.names.contains { $0.text == pattern } }),
                let advice = object.adviceOnMissingNames(catalog)
            {
                StandardError.write("hotpatch: \(advice)\n")
            }
        }
    }

    private func summary(
        of catalog: FunctionCatalog, in object: ExaminedObject
    ) throws -> FunctionSummary {
        let originals = try OriginalCalls(catalog)
        // Without a pattern no name is needed, and none is made.
        guard pattern != nil else {
            return FunctionSummary(
                counts: catalog.summary.filter { isWanted($0.key) }, share: try originals.share(),
                object: object)
        }
        let found = records(catalog)
        return FunctionSummary(
            counts: Dictionary(grouping: found, by: \.verdict.code).mapValues(\.count),
            share: originals.share(of: found), object: object)
    }

    private func records(_ catalog: FunctionCatalog) -> [FunctionRecord] {
        catalog.filter { isWanted($0.verdict.code) && matches($0) }
    }

    private func isWanted(_ code: VerdictCode) -> Bool {
        (!patchable || code == .patchable) && (!unpatchable || code != .patchable)
    }

    private func matches(_ record: FunctionRecord) -> Bool {
        guard let pattern else { return true }
        let isShellPattern = pattern.contains { "*?[".contains($0) }
        return record.names.contains { name in
            isShellPattern
                ? unsafe fnmatch(pattern, name.text, 0) == 0 : name.text.contains(pattern)
        }
    }

    private func sorted(_ records: [FunctionRecord]) -> [FunctionRecord] {
        switch sort {
        case .address:
            records
        case .name:
            records.sorted { $0.displayName < $1.displayName }
        case .size:
            records.sorted { $0.range.count > $1.range.count }
        case .verdict:
            records.sorted { $0.verdict.code.rawValue < $1.verdict.code.rawValue }
        }
    }
}

extension ExaminedObject {
    /// A debug file that does not belong to the object is worth a word: without it
    /// names are missing.
    func reportRejectedDebugFiles() {
        guard debugFiles.found == nil else { return }
        for rejection in debugFiles.rejected {
            StandardError.write("hotpatch: no debug file for '\(image.name)': \(rejection)\n")
        }
    }
}
