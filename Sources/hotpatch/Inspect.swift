import ArgumentParser
import HotpatchKit
import JSONText

struct Inspect: ParsableCommand, Verbose {
    static let configuration = CommandConfiguration(
        abstract: "Show one function: its first instructions, and what a detour would overwrite.",
        discussion: """
            FUNCTION is a name, or an address in the file ('0x4a10'). On a process the bytes in \
            its memory now stand beside those of the file.
            """)

    @OptionGroup var target: ObjectTarget
    @Argument(help: "The function's name or address.")
    var function: String
    @OptionGroup var output: OutputOptions
    @OptionGroup var diagnostics: DiagnosticOptions

    func run() throws {
        let object = try target.open()
        object.reportRejectedDebugFiles()
        let catalog = try object.catalog()
        let decoder = try Decoder()
        let found = try find(in: catalog, of: object)
        var views: [FunctionView] = []
        let originals = try OriginalCalls(catalog)
        for record in found {
            views.append(try FunctionView(record, catalog, object, originals, decoder))
        }
        switch output.format {
        case .json:
            try StandardOutput.write(
                json: object.members + [JSONMember("functions", .array(views.map(\.json)))],
                command: "inspect")
        case .table:
            try StandardOutput.write(views.map(\.text).joined(separator: "\n"))
        case .tsv:
            try StandardOutput.write(
                views.map { $0.instructionTable().text(format: .tsv, width: nil) }.joined())
        }
    }

    private func find(
        in catalog: FunctionCatalog, of object: ExaminedObject
    ) throws(Failure) -> [FunctionRecord] {
        let found =
            Hexadecimal.number(function).map { number in
                catalog.function(containing: LinkAddress(rawValue: number)).map { [$0] } ?? []
            } ?? catalog.functions(named: function)
        guard found.isEmpty else { return found }
        let similar = catalog.similarNames(to: function)
        let hint =
            similar.isEmpty
            ? "'list-symbols' lists all" : "did you mean \(similar.joined(separator: ", "))?"
        throw Failure(
            status: .failed, code: "function.none",
            message: "no function '\(function)' in '\(catalog.name)'; \(hint)"
                + (object.adviceOnMissingNames(catalog).map { "\n\($0)" } ?? ""))
    }
}
