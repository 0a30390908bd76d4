import Glibc
import SystemPackage
import TestSupport

/// A daemon under trial, with a folder and ports of its own.
final class Daemon {
    /// What a behaviour begins with that is the daemon's death.
    static let deathPrefix = "dies of "

    private let trial: Case
    private let folder: TemporaryDirectory
    private let environment: [String: String]
    /// What the daemon talks to.
    private let server: RunningCommand?
    private let process: RunningCommand
    private var load: RunningCommand?
    /// Until when waiting has sense; the machine may have much else to do.
    private static let patience = Duration.seconds(120)

    var pid: Int32 { process.pid }

    /// Starts it and waits until it answers.
    init(_ trial: Case, in workshop: Workshop) throws {
        self.trial = trial
        folder = try TemporaryDirectory()
        var environment = [
            "DIR": folder.path.string, "PROGRAM": workshop.program(trial).string,
            "TREE": workshop.tree(trial).string, "TOOLS": workshop.tools.string,
        ]
        for (number, port) in try Self.freePorts(5).enumerated() {
            environment[number == 0 ? "PORT" : "PORT\(number + 1)"] = "\(port)"
        }
        self.environment = environment
        let scripts = trial.package.scripts
        let hasServer = unsafe access(scripts.appending("serve").string, X_OK) == 0
        server =
            hasServer
            ? try RunningCommand(
                scripts.appending("serve").string, [trial.fix], environment: environment) : nil
        process = try RunningCommand(
            scripts.appending("start").string, [trial.fix], environment: environment)
        try wait(until: "it answers") { try script("ready").succeeded }
    }

    deinit {
        process.signal(SIGTERM)
        server?.signal(SIGTERM)
        // A master that is killed leaves its workers behind.
        _ = try? process.finish()
        _ = try? server?.finish()
    }

    // MARK: - Its load

    /// What the load has seen so far.
    struct Served {
        var rounds = 0
        var requests = 0
        var failed = 0
    }

    func startLoad() throws {
        load = try RunningCommand(
            trial.package.scripts.appending("load").string, [trial.fix], environment: environment)
    }

    /// Two more rounds: the second has begun behind this call.
    func awaitRounds() throws {
        let rounds = try served().rounds + 2
        try wait(until: "the load has served another round") { try served().rounds >= rounds }
    }

    func served() throws -> Served {
        var sum = Served()
        for line in try load?.outputSoFar().split(separator: "\n") ?? [] {
            let numbers = line.split(separator: " ").compactMap { Int($0) }
            guard numbers.count == 2 else {
                throw TestSupportError("the load says '\(line)'")
            }
            sum.rounds += 1
            sum.requests += numbers[0]
            sum.failed += numbers[1]
        }
        return sum
    }

    /// Ends the load behind its round, and returns what it has seen in all.
    func stopLoad() throws -> Served {
        _ = try folder.write("", to: "stop")
        try wait(until: "the load ends") { load?.isRunning != true }
        let sum = try served()
        load = nil
        return sum
    }

    // MARK: - What it does

    /// What it makes of the reproducer.
    ///
    /// - Parameter mayDie: whether to wait for its end, where it does not survive it.
    func behaviour(mayDie: Bool) throws -> String {
        let told = try script("reproduce")
        if mayDie {
            let deadline = ContinuousClock.now + .seconds(20)
            while process.isRunning, ContinuousClock.now < deadline { usleep(5_000) }
        }
        if !process.isRunning, case .killed(let signal) = try process.finish().exit {
            return Self.deathPrefix + Self.name(of: signal)
        }
        guard told.succeeded else {
            throw TestSupportError("the reproducer fails: \(told.errorOutput)\(told.output)")
        }
        return told.output.split(separator: "\n").joined(separator: " / ")
    }

    private static func name(of signal: Int32) -> String {
        [SIGABRT: "SIGABRT", SIGSEGV: "SIGSEGV", SIGBUS: "SIGBUS", SIGILL: "SIGILL"][signal]
            ?? "signal \(signal)"
    }

    /// Ends it as an administrator would; nil where it ends as it should.
    func end() throws -> String? {
        guard process.isRunning else { return "it ended by itself: \(try process.finish().exit)" }
        process.signal(SIGTERM)
        try wait(until: "it ends after SIGTERM", mayEnd: true) { !process.isRunning }
        let ending = try process.finish()
        // Some end themselves by the signal, when they have tidied up.
        let isGood = [.exited(0), .exited(128 + SIGTERM), .killed(signal: SIGTERM)].contains(
            ending.exit)
        return isGood ? nil : "after SIGTERM it ended with \(ending.exit): \(ending.errorOutput)"
    }

    private func script(_ name: String) throws -> Command {
        try Command.run(
            trial.package.scripts.appending(name).string, [trial.fix],
            environment: environment.merging(["PID": "\(process.pid)"]) { $1 })
    }

    private func wait(
        until what: String, mayEnd: Bool = false, _ condition: () throws -> Bool
    ) throws {
        let deadline = ContinuousClock.now + Self.patience
        while try !condition() {
            guard mayEnd || process.isRunning else {
                let ending = try process.finish()
                throw TestSupportError(
                    "\(trial.package.name) ended with \(ending.exit) before \(what): "
                        + ending.errorOutput)
            }
            guard ContinuousClock.now < deadline else {
                throw TestSupportError("waited in vain until \(what)")
            }
            usleep(20_000)
        }
    }

    /// Ports of the loopback that nobody listens at.
    private static func freePorts(_ count: Int) throws -> [UInt16] {
        var sockets: [Int32] = []
        defer { sockets.forEach { close($0) } }
        return try (0..<count).map { _ in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            sockets.append(descriptor)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let result = unsafe withUnsafeMutablePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    unsafe bind(descriptor, address, length) == 0
                        && getsockname(descriptor, address, &length) == 0
                }
            }
            guard result else { throw TestSupportError("no free port: error \(errno)") }
            return UInt16(bigEndian: address.sin_port)
        }
    }
}
