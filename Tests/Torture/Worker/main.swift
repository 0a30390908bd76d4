import CTorture
import Glibc
import LiveProcess
import Logging
import PatchFile
import Switchover
import SystemPackage
import TestSupport

// The tool without its command line, made to be killed: what it does to a process
// it does in a child of its own, so that the next one is quickly there.
//   torture-worker PHASES PID PATCH...
// PHASES is a file whose first byte is the phase that the child has come to
// (SwitchPhase). Each line of input is
//   apply NAME,... | revert NAME | revert-all - | recover -
// and behind that PHASE NANOSECONDS: as soon as the child comes to that phase it
// kills itself, or, where the time is not 0, lets the kernel do it so much later.
// Phase 0 is the start, where without a time nothing is killed. Answers perhaps
// "failed WHY", and then "exited CODE" or "killed SIGNAL".

let arguments = CommandLine.arguments
guard arguments.count >= 3, let number = Int32(arguments[2]) else {
    fatalError("usage: torture-worker PHASES PID PATCH...")
}
LoggingSystem.bootstrap { _ in SwiftLogNoOpLogHandler() }

/// One write, so that a line is never torn.
func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count) }
}

/// The byte that tells how far a child has come.
struct SharedPhase: Sendable {
    private let address: UInt

    init(_ path: String) throws(Errno) {
        let file = unsafe open(path, O_RDWR | O_CLOEXEC)
        guard file >= 0 else { throw Errno(rawValue: errno) }
        defer { close(file) }
        guard
            let start = unsafe mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
            unsafe start != MAP_FAILED
        else { throw Errno(rawValue: errno) }
        address = UInt(bitPattern: start)
    }

    func store(_ phase: UInt8) {
        unsafe UnsafeMutableRawPointer(bitPattern: address)?.storeBytes(of: phase, as: UInt8.self)
    }
}

struct Request {
    let operation: String
    let names: [String]
    let deathPhase: UInt8
    let delay: UInt64

    init?(_ line: String) {
        let words = line.split(separator: " ")
        guard words.count == 4, let phase = UInt8(words[2]), let delay = UInt64(words[3]) else {
            return nil
        }
        operation = String(words[0])
        names = words[1].split(separator: ",").map(String.init)
        deathPhase = phase
        self.delay = delay
    }
}

struct Worker {
    let target: ProcessID
    let patches: [String: PatchFile]
    let phases: SharedPhase

    /// In the child: does the work, and dies where it is to.
    func perform(_ request: Request) throws {
        var options = SwitchOptions(timeout: .seconds(20))
        let timer = ctorture_make_timer()
        phases.store(0)
        if request.deathPhase == 0, request.delay > 0 { ctorture_start_timer(timer, request.delay) }
        options.observer = { [phases] phase in
            phases.store(phase.rawValue)
            guard phase.rawValue == request.deathPhase else { return }
            if request.delay == 0 { kill(getpid(), SIGKILL) }
            ctorture_start_timer(timer, request.delay)
        }
        let process = try TargetProcess.find(target)
        switch request.operation {
        case "apply":
            _ = try Switchover.apply(
                request.names.compactMap { patches[$0] }, to: process, options: options)
        case "revert":
            for name in request.names {
                _ = try Switchover.revert(name, in: process, options: options)
            }
        case "revert-all": _ = try Switchover.revertAll(in: process, options: options)
        default: _ = try Switchover.recover(process, options: options)
        }
    }

    /// Does what is asked in a child, and tells what became of it.
    func serve(_ request: Request) {
        let child = ctorture_fork()
        guard child != 0 else {
            do { try perform(request) } catch {
                say("failed \(error)")
                exit(1)
            }
            exit(0)
        }
        guard child > 0 else { return say("failed no child: error \(-child)") }
        var status: Int32 = 0
        while unsafe waitpid(child, &status, 0) < 0, errno == EINTR {}
        let signal = status & 0x7f
        say(signal == 0 ? "exited \((status >> 8) & 0xff)" : "killed \(signal)")
    }
}

var patches: [String: PatchFile] = [:]
for path in arguments.dropFirst(3).map({ FilePath($0) }) {
    let name = path.stem ?? path.string
    patches[name] = try PatchFile(bytes: try path.bytes(), name: name)
}
let worker = Worker(
    target: ProcessID(rawValue: number), patches: patches, phases: try SharedPhase(arguments[1]))
say("ready")
while let line = readLine() {
    guard let request = Request(line) else {
        say("failed not understood: \(line)")
        continue
    }
    worker.serve(request)
}
