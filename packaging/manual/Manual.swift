import ArgumentParser
import Glibc
import JSONText
import SystemPackage

/// Makes the manual pages of the command line from what the tool says of itself,
/// so that they always have its options, and from the parts that people have
/// written for each command.
@main
struct Manual: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual",
        abstract: "Write hotpatch(1) and a page for each command.",
        discussion: """
            Standard input is what 'hotpatch --experimental-dump-help' prints. Each command has a \
            file COMMAND.mdoc in PARTS, with its examples; hotpatch.mdoc belongs to hotpatch(1).
            """)

    @Option(help: "The folder of the parts.", completion: .directory)
    var parts: String

    @Option(help: "The folder to write to.", completion: .directory)
    var output: String

    @Option(help: "The date of the pages, as YYYY-MM-DD.")
    var date: PageDate

    func run() throws {
        let input = try FileDescriptor.standardInput.wholeFile()
        let tree = JSONCursor(try JSONValue(parsing: input, limit: 1 << 24))
        let tool = try CommandDescription(tree.member("command"))
        let commands = tool.commands.filter { $0.name != "help" }
        try checkParts(of: commands)
        for command in commands {
            let page = CommandPage(command, date: date, part: try part(of: command.name))
            try write(page.text, to: "hotpatch-\(command.name).1")
        }
        let page = ToolPage(
            tool, commands: commands, date: date, part: try part(of: "hotpatch"))
        try write(page.text, to: "hotpatch.1")
    }

    private func part(of command: String) throws -> String {
        let path = FilePath(parts).appending("\(command).mdoc")
        let file = try open(path, .readOnly)
        return try file.closeAfter { String(decoding: try file.wholeFile(), as: UTF8.self) }
    }

    /// A new command must not go without its examples.
    private func checkParts(of commands: [CommandDescription]) throws {
        let wanted = Set(commands.map(\.name) + ["hotpatch"])
        let present = Set(try partNames())
        for name in wanted.subtracting(present).sorted() {
            throw ValidationError(
                "the command '\(name)' has no part: write its examples to \(parts)/\(name).mdoc")
        }
    }

    private func partNames() throws -> [String] {
        guard let list = unsafe opendir(parts) else {
            throw ValidationError("cannot read \(parts): \(Errno(rawValue: errno))")
        }
        defer { unsafe closedir(list) }
        var names: [String] = []
        while let entry = unsafe readdir(list) {
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".mdoc") { names.append(String(name.dropLast(".mdoc".count))) }
        }
        return names
    }

    private func write(_ text: String, to name: String) throws {
        let file = try open(FilePath(output).appending(name), .writeOnly)
        try file.closeAfter { _ = try file.writeAll(Array(text.utf8)) }
    }

    private func open(
        _ path: FilePath, _ mode: FileDescriptor.AccessMode
    ) throws -> FileDescriptor {
        do {
            return mode == .readOnly
                ? try FileDescriptor.open(path, mode)
                : try FileDescriptor.open(
                    path, mode, options: [.create, .truncate],
                    permissions: [
                        .ownerReadWrite,
                        .groupRead, .otherRead,
                    ])
        } catch {
            throw ValidationError("cannot open \(path): \(error)")
        }
    }
}

extension FileDescriptor {
    fileprivate func wholeFile() throws -> [UInt8] {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = try unsafe piece.withUnsafeMutableBytes { try unsafe read(into: $0) }
            if count == 0 { return bytes }
            bytes += piece.prefix(count)
        }
    }
}

/// A day, as mdoc(7) writes it.
struct PageDate: ExpressibleByArgument {
    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September",
        "October", "November", "December",
    ]

    let text: String

    init?(argument: String) {
        let numbers = argument.split(separator: "-").compactMap { Int($0) }
        guard numbers.count == 3, Self.months.indices.contains(numbers[1] - 1),
            (1...31).contains(numbers[2])
        else { return nil }
        text = "\(Self.months[numbers[1] - 1]) \(numbers[2]), \(numbers[0])"
    }
}
