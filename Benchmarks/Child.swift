import Glibc
import JSONText

/// What stops the bench: what was tried and what came of it.
struct BenchError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }

    /// The failure of a call that sets `errno`.
    init(errno code: Int32, _ tried: String) {
        description = "\(tried): \(unsafe String(cString: strerror(code)))"
    }
}

/// A process that the bench started.
struct Child: ~Copyable {
    let pid: pid_t
    private var isReaped = false

    /// How a child ended, and what it took.
    struct Outcome {
        let exitCode: Int32
        /// The largest resident size, in bytes. The kernel counts what the child
        /// was before its exec too, and that is the bench: keep the bench small.
        let peakMemory: Int
    }

    /// One that would run on by itself: `setpriv` (util-linux) asks the kernel to
    /// kill it should the bench end first, however that comes about.
    init(service arguments: [String], descriptors: [Int32?] = []) throws {
        try self.init(
            ["setpriv", "--pdeathsig", "KILL", "--"] + arguments, descriptors: descriptors)
    }

    /// `descriptors` are placed at 0, 1, 2 and so on in the child; nil is /dev/null.
    init(_ arguments: [String], descriptors: [Int32?] = []) throws {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for index in 0..<Int32(max(3, descriptors.count)) {
            let given = index < descriptors.count ? descriptors[Int(index)] : nil
            if let given {
                unsafe posix_spawn_file_actions_adddup2(&actions, given, index)
            } else {
                unsafe posix_spawn_file_actions_addopen(&actions, index, "/dev/null", O_RDWR, 0)
            }
        }
        var words: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) }
        unsafe words.append(nil)
        defer { unsafe words.forEach { unsafe free($0) } }
        var pid: pid_t = 0
        let code = unsafe posix_spawnp(&pid, arguments[0], &actions, nil, &words, environ)
        guard code == 0 else { throw BenchError(errno: code, "starting \(arguments)") }
        self.pid = pid
    }

    /// Waits for the child to end by itself.
    consuming func wait() throws -> Outcome {
        var status: Int32 = 0
        var usage = rusage()
        while unsafe wait4(pid, &status, 0, &usage) < 0 {
            guard errno == EINTR else { throw BenchError(errno: errno, "waiting for \(pid)") }
        }
        isReaped = true
        let signal = status & 0x7f
        return Outcome(
            exitCode: signal == 0 ? (status >> 8) & 0xff : 128 + signal,
            peakMemory: usage.ru_maxrss * 1024)
    }

    /// Asks the child to end, and waits for it.
    consuming func stop() throws -> Outcome {
        kill(pid, SIGTERM)
        return try wait()
    }

    deinit {
        guard !isReaped else { return }
        kill(pid, SIGKILL)
        var status: Int32 = 0
        unsafe waitpid(pid, &status, 0)
    }
}

/// A file without a name: what a child prints goes there, however much it is.
struct Scratch: ~Copyable {
    let descriptor: Int32

    /// In shared memory, not on a disk, whose writing back would disturb a
    /// victim that has it mapped.
    init() throws {
        let name = "/hotpatch-bench-\(getpid())"
        descriptor = unsafe shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw BenchError(errno: errno, "shm_open \(name)") }
        unsafe shm_unlink(name)
    }

    var text: String {
        var information = stat()
        unsafe fstat(descriptor, &information)
        var bytes = [UInt8](repeating: 0, count: Int(information.st_size))
        let got = unsafe pread(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, got)), as: UTF8.self)
    }

    deinit { close(descriptor) }
}

/// One command, run to its end and timed from outside.
struct Run {
    let output: String
    let seconds: Double
    let peakMemory: Int

    /// A command that fails stops the bench with what it said.
    init(_ arguments: [String], discardingOutput: Bool = false) throws {
        let output = try Scratch()
        let errors = try Scratch()
        let start = Clock.now
        let child = try Child(
            arguments,
            descriptors: [nil, discardingOutput ? nil : output.descriptor, errors.descriptor])
        let outcome = try child.wait()
        seconds = Clock.now - start
        peakMemory = outcome.peakMemory
        guard outcome.exitCode == 0 else {
            throw BenchError(
                "\(arguments.joined(separator: " ")) ended with \(outcome.exitCode): \(errors.text)"
            )
        }
        self.output = output.text
    }

    /// A number of the JSON that the tool printed about one process.
    func number(_ name: String) throws -> Int64 {
        do {
            let results = try JSONCursor(JSONValue(parsing: output)).member("targets")
            guard let first = try results.elements().first else {
                throw BenchError("no result in \(output)")
            }
            return try first.member(name).integer()
        } catch let error as JSONError {
            throw BenchError("\(error) in \(output)")
        }
    }
}

enum Clock {
    /// Seconds of a clock that only goes forward.
    static var now: Double {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// The same, in nanoseconds.
    static var nanoseconds: UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
