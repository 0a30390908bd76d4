import Addresses
import Glibc
import LiveProcess

// Does one thing to a process again and again until it is killed, which a test
// does at random moments.
//   live-process-exerciser calls|stops|once PID
// Writes a dot once the first round is done, and the code of an error that ends it.

let arguments = CommandLine.arguments
guard arguments.count == 3, let number = Int32(arguments[2]),
    let place = AddressRange(start: RemoteAddress(rawValue: 0x1234_5670_0000), count: 4096)
else {
    fatalError("usage: live-process-exerciser calls|stops|once PID")
}

func round(_ target: TargetProcess) throws(LiveProcessError) {
    guard arguments[1] == "calls" else {
        do throws(LiveProcessError) {
            let outcome = try target.withAllThreadsStopped { _ in () }
            if case .done(_, let report) = outcome, arguments[1] == "once" {
                print(
                    "runners", report.runnersStopped / 1000, "all", report.allStopped / 1000, "µs")
            }
        } catch .cannotStopNow {
            return
        }
        return
    }
    try target.withRemoteCalls { calls throws(LiveProcessError) in
        // What a killed predecessor left.
        try calls.unmap(place)
        try calls.map(place, [.read], from: nil)
        try calls.protect(place, [.read, .write])
        try calls.unmap(place)
    }
}

do throws(LiveProcessError) {
    let target = try TargetProcess.find(ProcessID(rawValue: number))
    try round(target)
    print(".")
    fflush(nil)
    guard arguments[1] != "once" else { exit(0) }
    while true { try round(target) }
} catch {
    print(error.code)
    print(error)
    exit(1)
}
