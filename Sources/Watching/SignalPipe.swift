import Glibc
import LiveProcess
import SystemPackage
import Threads

/// The signals that ask the service for something, as numbers in a pipe.
///
/// Not signalfd(2): who waits for one is woken by every signal of the process, those
/// included by which the kernel tells of each stop of a thread that is held, and runs
/// beside it when it could go on.
struct SignalPipe: Sendable {
    /// Those that are taken; they have to be blocked in all threads.
    static let numbers = [SIGTERM, SIGINT, SIGQUIT, SIGHUP]

    private let outlet: Descriptor

    /// Starts the OS thread that waits for them. Throws what keeps it from that.
    init() throws(Errno) {
        let inlet: Descriptor
        (outlet, inlet) = try Descriptor.pipe()
        try OSThread {
            var wanted = sigset_t()
            unsafe sigemptyset(&wanted)
            for number in Self.numbers { unsafe sigaddset(&wanted, number) }
            while true {
                var number: Int32 = 0
                guard unsafe sigwait(&wanted, &number) == 0 else { continue }
                var byte = UInt8(truncatingIfNeeded: number)
                _ = unsafe write(inlet.rawValue, &byte, 1)
            }
        }.detach()
    }

    /// Readable when there is one, for poll(2).
    var descriptor: Int32 { outlet.rawValue }

    /// The next one. Called where the descriptor is readable.
    func take() -> Int32 {
        var byte: UInt8 = 0
        _ = unsafe read(outlet.rawValue, &byte, 1)
        return Int32(byte)
    }
}
