import Glibc

/// A program of Benchmarks/victims that runs, with a patch built for it.
final class Victim {
    private static let windows = 4096
    private static let notes: UInt64 = 65536
    /// Offsets in `struct page` of victims/page.h, in bytes.
    private enum Offset {
        static let window = 0
        static let ready = 8
        static let interrupted = 16
        static let noteCount = 24
        static let values = 32
        static let answers = 32 + 8 * windows
        static let notes = 32 + 16 * windows
        static let end = notes + 16 * Int(Victim.notes)
    }

    let child: Child
    let patch: String
    private let page: Scratch
    private var window: UInt64 = 0
    private var seenNotes: UInt64 = 0

    var pid: pid_t { child.pid }

    /// Compiles the victim `name` and its fix, starts it and waits for it.
    init(_ name: String, _ arguments: [String], tools: Tools) throws {
        let program = "\(tools.scratch)/\(name)"
        let source = "\(tools.sources)/victims/\(name)"
        patch = program + ".hpatch"
        _ = try Run(["cc", "-std=gnu17", "-O2", "-g", "-pthread", "-o", program, source + ".c"])
        _ = try Run([tools.hotpatch, "build", "--base", program, "-o", patch, source + "-fix.c"])

        page = try Scratch()
        ftruncate(page.descriptor, Offset.end)
        child = try Child(
            service: [program] + arguments,
            descriptors: [nil, STDERR_FILENO, STDERR_FILENO, page.descriptor])
        for _ in 0..<2000 where load(Offset.ready) == 0 { usleep(5000) }
        guard load(Offset.ready) == 1 else { throw BenchError("the victim \(name) did not start") }
    }

    /// How many system calls of sleeping threads came back early.
    var interrupted: UInt64 { load(Offset.interrupted) }

    /// What the victim measured while `body` ran, and then until it ran on and
    /// gave `answer`, if one is expected: who was stopped or had lost its
    /// processor when `body` ended has then written its gap down.
    func during(answer expected: UInt64? = nil, _ body: () throws -> Void) throws -> UInt64 {
        window = (window + 1) % UInt64(Self.windows)
        let value = Offset.values + 8 * Int(window)
        let answer = Offset.answers + 8 * Int(window)
        store(0, at: value)
        store(0, at: answer)
        store(window, at: Offset.window)
        try body()
        for _ in 0..<5000 where expected != nil && load(answer) != expected { usleep(200) }
        guard expected == nil || load(answer) == expected else {
            throw BenchError("the victim answers \(load(answer)), not as it should by now")
        }
        return load(value)
    }

    /// What the victim noted since the last call of this: times that were lost, in
    /// nanoseconds of CLOCK_MONOTONIC.
    func newNotes() -> [Range<UInt64>] {
        let count = load(Offset.noteCount)
        let first = max(seenNotes, count > Self.notes ? count - Self.notes : 0)
        seenNotes = count
        return (first..<count).compactMap { number in
            let offset = Offset.notes + 16 * Int(number % Self.notes)
            let (length, end) = (load(offset), load(offset + 8))
            // One that is just being written may be half of another.
            return length <= end ? end - length..<end : nil
        }
    }

    // The page is shared memory; reading and writing it through its descriptor
    // needs no pointers and reaches the same bytes.

    private func load(_ offset: Int) -> UInt64 {
        var value: UInt64 = 0
        unsafe pread(page.descriptor, &value, 8, offset)
        return value
    }

    private func store(_ value: UInt64, at offset: Int) {
        var value = value
        unsafe pwrite(page.descriptor, &value, 8, offset)
    }
}

/// Where things are.
struct Tools {
    /// The tool to measure.
    let hotpatch: String
    /// The folder Benchmarks of the sources.
    let sources: String
    /// The sample daemon's folder.
    let sample: String
    /// Where `make corpus` keeps what it builds, if it was ever called.
    let corpus: String
    /// A folder for what the bench compiles.
    let scratch: String
}
