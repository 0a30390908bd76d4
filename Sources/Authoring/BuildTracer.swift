import CLinuxTrace
import Glibc
import SystemPackage

/// Sees every program that a build runs, and puts another in place of some: compilers
/// are found so by whatever name they are called.
///
/// It is the tracer of the build's processes (ptrace(2)), so all of it is for one
/// thread. Where it may not be, the build runs all the same, unseen.
struct BuildTracer {
    /// The program to run in place of a compiler, given its path; nil where it is none.
    typealias Substitution = (FilePath) -> FilePath?

    /// What a program has in its environment that is not to be replaced any more.
    static let mark = "HOTPATCH_COMPILER=1"

    private let root: pid_t
    private let substitute: Substitution
    private var tracees: Set<pid_t>

    /// PTRACE_O_TRACEFORK, VFORK, CLONE and EXEC (linux/ptrace.h).
    private static let options: UInt32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4
    private static let execEvent: Int32 = 4
    private static let stopEvent: Int32 = 128

    /// Begins with a child that stands still, and lets it go on; nil where the kernel
    /// forbids it.
    init?(_ child: pid_t, substitute: @escaping Substitution) {
        guard clinux_seize(child, Self.options) == 0 else { return nil }
        root = child
        self.substitute = substitute
        tracees = [child]
    }

    /// Serves what has happened so far. Returns how the first process has ended, as
    /// wait(2) tells it, once it has: then the others are let go.
    mutating func serve() throws(Errno) -> Int32? {
        while true {
            var status: Int32 = 0
            // Of this thread alone: others may have children of their own.
            let thread = unsafe waitpid(-1, &status, WNOHANG | __WALL | __WNOTHREAD)
            if thread == 0 { return nil }
            if thread < 0 {
                if errno == EINTR { continue }
                throw Errno(rawValue: errno)
            }
            // WIFSTOPPED of <sys/wait.h>, which is a macro.
            guard status & 0xff == 0x7f else {
                tracees.remove(thread)
                guard thread == root else { continue }
                release()
                return status
            }
            tracees.insert(thread)
            resume(thread, status)
        }
    }

    /// Lets a process go on from a stop as if it had not been seen. Where it is gone
    /// meanwhile, its end is what comes next.
    private func resume(_ thread: pid_t, _ status: Int32) {
        let signal = (status >> 8) & 0xff
        switch status >> 16 {
        case 0: _ = clinux_resume(thread, CLINUX_CONTINUE, signal)
        case Self.stopEvent where signal != SIGTRAP:
            _ = clinux_resume(thread, CLINUX_LISTEN, 0)
        case Self.execEvent:
            replaceProgram(of: thread)
            _ = clinux_resume(thread, CLINUX_CONTINUE, 0)
        default: _ = clinux_resume(thread, CLINUX_CONTINUE, 0)
        }
    }

    /// What outlives the build, such as a server that it has started, runs on untraced.
    private mutating func release() {
        for thread in tracees { _ = clinux_interrupt(thread) }
        let deadline = ContinuousClock.now + .seconds(2)
        while !tracees.isEmpty, ContinuousClock.now < deadline {
            for thread in tracees {
                var status: Int32 = 0
                let seen = unsafe waitpid(thread, &status, WNOHANG | __WALL)
                if seen == 0 { continue }
                if seen == thread, status & 0xff == 0x7f {
                    let isSignal = status >> 16 == 0
                    _ = clinux_resume(
                        thread, CLINUX_DETACH, isSignal ? (status >> 8) & 0xff : 0)
                }
                tracees.remove(thread)
            }
            usleep(1_000)
        }
    }

    // MARK: - Another program

    /// Where a compiler stands before its first instruction, makes that instruction an
    /// execve(2) of what is to run in its place, with the same arguments.
    private func replaceProgram(of thread: pid_t) {
        guard let program = Self.program(of: thread), let other = substitute(program),
            !Self.isMarked(thread)
        else { return }
        var registers = user_regs_struct()
        var count: UInt64 = 0
        guard unsafe clinux_get_registers(thread, &registers) == 0,
            // The stack of a new program: argc, argv, envp (System V psABI, 3.4.1).
            unsafe clinux_peek(thread, registers.rsp, &count) == 0, count < 1 << 24
        else { return }
        let name = (registers.rsp &- 8192) & ~7
        var bytes = Array(other.string.utf8) + [0]
        bytes += [UInt8](repeating: 0, count: (8 - bytes.count % 8) % 8)
        // mov $59,%eax (execve); syscall; ud2. What is written over goes away with the
        // program.
        let code: [UInt8] = [
            0xb8, 0x3b, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x0b, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
        ]
        guard Self.write(bytes, at: name, of: thread),
            Self.write(code, at: registers.rip, of: thread)
        else { return }
        registers.rdi = name
        registers.rsi = registers.rsp &+ 8
        registers.rdx = registers.rsp &+ 8 &* (count &+ 2)
        _ = unsafe clinux_set_registers(thread, &registers)
    }

    private static func write(_ bytes: [UInt8], at address: UInt64, of thread: pid_t) -> Bool {
        for start in stride(from: 0, to: bytes.count, by: 8) {
            let word = bytes[start..<start + 8].reversed().reduce(UInt64(0)) {
                $0 << 8 | UInt64($1)
            }
            guard clinux_poke(thread, address &+ UInt64(start), word) == 0 else { return false }
        }
        return true
    }

    /// The path by which the program was called (getauxval(3), AT_EXECFN).
    private static func program(of thread: pid_t) -> FilePath? {
        let words = content("/proc/\(thread)/auxv")
        for start in stride(from: 0, to: words.count - 15, by: 16) {
            func word(_ index: Int) -> UInt64 {
                words[index..<index + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
            }
            guard word(start) == UInt64(AT_EXECFN) else { continue }
            var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
            let count = unsafe clinux_read_memory(thread, word(start + 8), &bytes, bytes.count)
            guard count > 0, let end = bytes[..<count].firstIndex(of: 0) else { return nil }
            let name = FilePath(String(decoding: bytes[..<end], as: UTF8.self))
            return name.isAbsolute ? name : target("/proc/\(thread)/cwd")?.pushing(name)
        }
        return nil
    }

    private static func isMarked(_ thread: pid_t) -> Bool {
        content("/proc/\(thread)/environ").split(separator: 0).contains(Array(mark.utf8)[...])
    }

    private static func target(_ link: String) -> FilePath? {
        guard let path = unsafe realpath(link, nil) else { return nil }
        defer { unsafe free(path) }
        return unsafe FilePath(String(cString: path))
    }

    /// The bytes of a file of /proc; none where the process is gone.
    private static func content(_ path: String) -> [UInt8] {
        do throws(AuthoringError) { return try readFile(FilePath(path)) } catch { return [] }
    }
}
