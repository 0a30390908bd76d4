import Glibc
import LiveProcess
import Synchronization
import SystemPackage

/// What the thread that takes care of everything slow is told by the others.
final class Mailbox: Sendable {
    enum Message: Sendable {
        /// A process was held and patched, or could not be.
        case served(ProcessOutcome)
        /// The process started or loaded a library without being held.
        case startMissed(ProcessID)
        /// Read everything anew (SIGHUP).
        case reload
        /// End, after what is being done.
        case end
    }

    private let messages = Mutex<[Message]>([])
    private let bell: Descriptor
    private let button: Descriptor

    /// Throws what pipe2(2) answers.
    init() throws(Errno) {
        (bell, button) = try Descriptor.pipe()
    }

    /// Readable when there are messages, for poll(2).
    var descriptor: Int32 { bell.rawValue }

    /// Does not wait for the reader.
    func post(_ message: Message) {
        let isFirst = messages.withLock { messages in
            messages.append(message)
            return messages.count == 1
        }
        // One byte for as many as there are until they are taken: the pipe never fills.
        guard isFirst else { return }
        var byte: UInt8 = 1
        _ = unsafe write(button.rawValue, &byte, 1)
    }

    /// All that have come. Called where the descriptor is readable.
    func take() -> [Message] {
        var byte: UInt8 = 0
        _ = unsafe read(bell.rawValue, &byte, 1)
        return messages.withLock { messages in
            defer { messages.removeAll() }
            return messages
        }
    }
}
