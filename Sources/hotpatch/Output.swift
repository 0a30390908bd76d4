import ArgumentParser
import Glibc
import JSONText

/// `--format`, which every command that shows something takes.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, tsv
}

struct OutputOptions: ParsableArguments {
    @Option(help: "How to print: 'table' for people, 'json' and 'tsv' for programs.")
    var format: OutputFormat = .table
}

/// Standard output, written in large pieces. A reader that went away ends the
/// tool quietly, as it does any filter; a full disk is an error.
enum StandardOutput {
    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Colour goes to terminals only, and not where NO_COLOR is set (no-color.org).
    static var isColoured: Bool {
        unsafe isTerminal && getenv("NO_COLOR") == nil
    }

    /// The terminal's width in columns, or nil where output is no terminal.
    static var width: Int? {
        guard isTerminal else { return nil }
        var size = winsize()
        let result = unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size)
        return result == 0 && size.ws_col > 0 ? Int(size.ws_col) : nil
    }

    static func write(_ text: String) throws(Failure) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = unsafe rest.withUnsafeBytes { bytes in
                unsafe Glibc.write(STDOUT_FILENO, bytes.baseAddress, bytes.count)
            }
            if written < 0 && errno == EINTR { continue }
            guard written > 0 else {
                throw Failure(
                    status: .failed, code: "output-failed",
                    message:
                        "writing to standard output failed: \(unsafe String(cString: strerror(errno)))"
                )
            }
            rest = rest.dropFirst(written)
        }
    }

    /// One JSON document with the schema version that every document carries.
    static func write(json members: [JSONMember], command: String) throws(Failure) {
        let head = [JSONMember("schema", 1), JSONMember("command", .string(command))]
        try write(JSONValue.object(head + members).text(pretty: true) + "\n")
    }
}
