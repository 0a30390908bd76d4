import Glibc
import SystemPackage
import Threads

/// Programs that are run to their end.
enum ChildCommand {
    enum Ending: Equatable {
        case exited(Int32)
        case killed(Int32)
    }

    /// Runs `arguments[0]`, found in PATH where it has no slash. It reads from
    /// nowhere and tells on standard error; its standard output goes to `output`,
    /// or to standard error too where that is nil, so that it never mixes with
    /// ours.
    ///
    /// - Parameters:
    ///   - isGroup: whether what it starts is to end with it when we are asked to.
    ///   - substitute: what runs in place of programs that it runs.
    ///   - meanwhile: called every now and then until it ends.
    static func run(
        _ arguments: [String], output: FilePath? = nil, isGroup: Bool = false,
        substitute: BuildTracer.Substitution? = nil, meanwhile: () -> Void = {}
    ) throws(Errno) -> Ending {
        // It stands still until it is traced.
        let waiting = ["sh", "-c", "kill -STOP $$; exec \"$@\"", "sh"]
        let pid = try spawn(
            substitute == nil ? arguments : waiting + arguments, output: output, isGroup: isGroup)
        guard let substitute else { return try wait(for: pid, isGroup: isGroup, meanwhile) }
        var status: Int32 = 0
        while unsafe waitpid(pid, &status, WUNTRACED) < 0 {
            guard errno == EINTR else { throw Errno(rawValue: errno) }
        }
        let tracer = BuildTracer(pid, substitute: substitute)
        kill(pid, SIGCONT)
        return try wait(for: pid, isGroup: isGroup, tracer: tracer, meanwhile)
    }

    private static func spawn(
        _ arguments: [String], output: FilePath?, isGroup: Bool
    ) throws(Errno) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if let output {
            unsafe posix_spawn_file_actions_addopen(
                &actions, 1, output.string, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        } else {
            unsafe posix_spawn_file_actions_adddup2(&actions, 2, 1)
        }
        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        try setSignals(&attributes, isGroup: isGroup)

        var pid: pid_t = 0
        let failure = unsafe withArgumentVector(arguments) { vector in
            unsafe posix_spawnp(&pid, arguments.first ?? "", &actions, &attributes, vector, environ)
        }
        guard failure == 0 else { throw Errno(rawValue: failure) }
        return pid
    }

    /// The child takes the signals that ``TemporaryFolder`` holds back from us.
    private static func setSignals(
        _ attributes: inout posix_spawnattr_t, isGroup: Bool
    ) throws(Errno) {
        var none = sigset_t()
        unsafe sigemptyset(&none)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        let flags = POSIX_SPAWN_SETSIGMASK | (isGroup ? POSIX_SPAWN_SETPGROUP : 0)
        let failure = unsafe posix_spawnattr_setflags(&attributes, Int16(flags))
        guard failure == 0 else { throw Errno(rawValue: failure) }
    }

    /// Waits for the child, and hands on to it what asks us to end: that signal is
    /// held back from us until the temporary folder is gone.
    private static func wait(
        for pid: pid_t, isGroup: Bool, tracer: BuildTracer? = nil, _ meanwhile: () -> Void
    ) throws(Errno) -> Ending {
        var tracer = tracer
        var status: Int32 = 0
        var isTold = false
        while true {
            if let ended = try tracer?.serve() {
                status = ended
                break
            }
            let reaped = tracer == nil ? unsafe waitpid(pid, &status, WNOHANG) : 0
            if reaped < 0, errno != EINTR { throw Errno(rawValue: errno) }
            if reaped == pid { break }
            if !isTold, SignalsHeldBack.arePending {
                isTold = kill(isGroup ? -pid : pid, SIGTERM) == 0
            }
            meanwhile()
            // Next to what a compiler takes, this is nothing; a traced program waits
            // for us at each fork.
            usleep(tracer == nil ? 1_000 : 100)
        }
        if isTold, isGroup { endGroup(pid) }
        // WIFSIGNALED and WEXITSTATUS of <sys/wait.h>, which are macros.
        let signal = status & 0x7f
        return signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal)
    }

    /// Waits until nobody of the group is left, who would write where we tidy up, and
    /// helps those that take long. Some may be dead and nobody's children.
    private static func endGroup(_ group: pid_t) {
        for turn in 0..<1_200 where kill(-group, 0) == 0 {
            if turn >= 1_000 { kill(-group, SIGKILL) }
            usleep(5_000)
        }
    }
}

/// A folder for the files between compiler and patch. It goes away with this
/// value; the signals by which people end a program wait until it has.
struct TemporaryFolder: ~Copyable {
    let path: FilePath
    /// Whether it stays, since the user has named it.
    let isKept: Bool
    private let signals: SignalsHeldBack

    /// A folder that stays, and is there already.
    init(keeping path: FilePath) {
        self.path = path
        isKept = true
        signals = SignalsHeldBack()
    }

    init() throws(AuthoringError) {
        let parent = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        let signals = SignalsHeldBack()
        var template = Array("\(parent)/hotpatch-build.XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else {
            throw AuthoringError.system(
                name: parent, action: "make a temporary folder in", errno: Errno(rawValue: errno))
        }
        path = FilePath(
            String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))
        isKept = false
        self.signals = signals
    }

    /// A new folder inside, so that files keep their names.
    func makeFolder(_ name: String) throws(AuthoringError) -> FilePath {
        let folder = path.appending(name)
        guard unsafe mkdir(folder.string, 0o700) == 0 else {
            throw AuthoringError.system(
                name: folder.string, action: "make the folder", errno: Errno(rawValue: errno))
        }
        return folder
    }

    deinit {
        if !isKept { Self.remove(path) }
    }

    /// Removes what was put there, by whom ever.
    static func remove(_ folder: FilePath) {
        // A build may have made it unwritable.
        _ = unsafe chmod(folder.string, 0o700)
        guard let list = unsafe opendir(folder.string) else { return }
        while let entry = unsafe readdir(list) {
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name != ".", name != ".." else { continue }
            let path = folder.appending(name)
            if unsafe unlink(path.string) != 0 { remove(path) }
        }
        unsafe closedir(list)
        unsafe rmdir(folder.string)
    }
}

/// While this lives, SIGINT, SIGTERM, SIGHUP and SIGQUIT wait for this thread.
private struct SignalsHeldBack: ~Copyable {
    private static let signals = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]
    private let before: sigset_t

    /// Whether one of them came meanwhile.
    static var arePending: Bool {
        var pending = sigset_t()
        unsafe sigpending(&pending)
        return signals.contains { unsafe sigismember(&pending, $0) == 1 }
    }

    init() {
        var wanted = sigset_t()
        unsafe sigemptyset(&wanted)
        for signal in Self.signals { unsafe sigaddset(&wanted, signal) }
        var before = sigset_t()
        unsafe pthread_sigmask(SIG_BLOCK, &wanted, &before)
        self.before = before
    }

    deinit {
        var before = before
        unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
    }
}
