import Glibc
import SystemPackage

/// What every fuzz target's main does: read good inputs, make broken ones, feed
/// them, and say which one it was where the program traps.
///
/// Usage: `fuzz-NAME [--runs N] [--seed S] FILE…`
public struct FuzzCommand {
    private var runs = 10_000
    private var seed: UInt64 = 1
    private var files: [FilePath] = []

    /// nil where the arguments are wrong, which was said on standard error.
    public init?(arguments: [String]) {
        var rest = arguments.dropFirst()
        while let argument = rest.popFirst() {
            switch argument {
            case "--runs":
                guard let number = rest.popFirst().flatMap({ Int($0) }) else { return nil }
                runs = number
            case "--seed":
                guard let number = rest.popFirst().flatMap({ UInt64($0) }) else { return nil }
                seed = number
            default:
                files.append(FilePath(argument))
            }
        }
        guard !files.isEmpty else {
            print("usage: \(arguments.first ?? "fuzz") [--runs N] [--seed S] FILE...")
            return nil
        }
    }

    /// Runs every file through `body`, with seeds from the first on. A trap ends
    /// the program with a line that tells how to have it again.
    public func run(
        places: ([UInt8]) throws -> [Range<Int>], _ body: ([UInt8]) -> Void
    ) throws {
        TrapReport.install()
        for file in files {
            let good = try Self.contents(of: file)
            let interesting = try places(good)
            for number in 0..<runs {
                let current = seed &+ UInt64(number)
                TrapReport.prepare("trapped: have it again with --runs 1 --seed \(current)\n")
                var mutator = Mutator(seed: current)
                body(mutator.mutated(good, places: interesting))
            }
            print("\(file): \(runs) inputs, no trap")
        }
    }

    private static func contents(of file: FilePath) throws -> [UInt8] {
        let descriptor = try FileDescriptor.open(file, .readOnly)
        return try descriptor.closeAfter {
            let size = try descriptor.seek(offset: 0, from: .end)
            return try unsafe [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
                count = try unsafe descriptor.read(
                    fromAbsoluteOffset: 0, into: UnsafeMutableRawBufferPointer(buffer))
            }
        }
    }
}

/// Says which input was in work where a signal ends the program.
private enum TrapReport {
    private static let capacity = 200
    /// Written between inputs by the only thread; a handler may do no more than
    /// write(2) what stands here.
    nonisolated(unsafe) private static let text =
        UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    nonisolated(unsafe) private static var length = 0

    static func prepare(_ message: String) {
        unsafe length = 0
        for byte in message.utf8.prefix(capacity) {
            unsafe text[length] = byte
            unsafe length += 1
        }
    }

    static func install() {
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT] {
            signal(number) { caught in
                unsafe _ = write(STDERR_FILENO, TrapReport.text, TrapReport.length)
                _exit(128 + caught)
            }
        }
    }
}
