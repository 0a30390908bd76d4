import Glibc
import HotpatchKit

/// Why a command could not do its work: a sentence for a person, a stable code
/// for a program, and the exit status that goes with it.
struct Failure: Error {
    let status: ExitStatus
    /// Stable, lower case, words joined by hyphens: `no-such-process`.
    let code: String
    /// What was tried, on what, what was found, what to do next.
    let message: String
    /// The threads that are in the way, where that is why.
    var activities: [Activity] = []
    /// The signal that ended the work, by which the tool is to end as well.
    var signal: Int32?

    /// Standard error only, so that output can be piped.
    func report() {
        StandardError.write("hotpatch: \(message.printable) [\(code)]\n")
    }
}

/// Standard error, unbuffered, and silent where it is closed.
enum StandardError {
    static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    static func write(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = unsafe rest.withUnsafeBytes { bytes in
                unsafe Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count)
            }
            if written < 0 && errno == EINTR { continue }
            // A closed standard error leaves nowhere to complain to.
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }
}

extension String {
    /// The text without what would steer the terminal: names in it come from files
    /// and processes of strangers. Line ends stay.
    var printable: String {
        guard utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return self }
        return String(
            String.UnicodeScalarView(
                unicodeScalars.map {
                    $0 != "\n" && ($0.value < 0x20 || $0.value == 0x7f) ? "?" : $0
                }))
    }

    /// The same on one line.
    var printableLine: String {
        guard utf8.contains(UInt8(ascii: "\n")) else { return printable }
        return String(printable.unicodeScalars.map { $0 == "\n" ? "?" : Character($0) })
    }
}
