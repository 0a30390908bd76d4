import Addresses
import CRunOnce
import ELFImage
import PatchFile

/// The code in front of a replacement by which what has to run before it does so,
/// in the thread that comes first. From then on it costs a load and a branch.
///
/// It stands at a function's entry, with the arguments where the caller has put them,
/// on the stack too; so it keeps every register and flag, and jumps on.
///
///     endbr64
///     push %rcx
///     mov  word(%rip),%rcx
///     jrcxz 1f
///     call routine
///  1: pop  %rcx
///     jmp  replacement
enum Gate {
    static let length: UInt64 = 25
    /// How far in rcx has been pushed, and how far in it has been popped again:
    /// ``ThunkFrames`` tells it.
    static let pushEnd: UInt64 = 5
    static let popEnd: UInt64 = 20

    /// nil where one of the three is out of reach.
    static func code(
        at address: RemoteAddress, word: RemoteAddress, routine: RemoteAddress,
        replacement: RemoteAddress
    ) -> [UInt8]? {
        var code = CodeBuffer(at: address)
        code.append([0xf3, 0x0f, 0x1e, 0xfa])  // endbr64
        code.append([0x51])  // push %rcx
        guard code.relative([0x48, 0x8b, 0x0d], word) else { return nil }  // mov word(%rip),%rcx
        code.append([0xe3, 0x05])  // jrcxz over the next instruction
        guard code.call(routine) else { return nil }  // call routine
        code.append([0x59])  // pop %rcx
        guard code.relative([0xe9], replacement) else { return nil }  // jmp replacement
        return code.bytes
    }
}

/// What the gates call (CRunOnce), with the table of what it calls in turn.
enum OnceRoutine {
    static let alignment: UInt64 = 16
    private static let template: [UInt8] = {
        var size = 0
        let start = unsafe crunonce_code(&size)
        return unsafe Array(UnsafeBufferPointer(start: start, count: size))
    }()
    /// Where in it calls go.
    static let entry = UInt64(crunonce_entry())
    static let length = UInt64(template.count)

    /// The words at its start are those of the table and the block.
    static func code(table: RemoteAddress, block: RemoteAddress) -> [UInt8] {
        PayloadHeader.littleEndian(table.rawValue) + PayloadHeader.littleEndian(block.rawValue)
            + template.dropFirst(16)
    }

    /// One call of the table.
    struct Call {
        let function: RemoteAddress
        var arguments: (UInt64, UInt64) = (0, 0)
    }

    static func tableSize(calls: Int) -> UInt64 { UInt64(calls) * callSize + 8 }

    static func table(_ calls: [Call]) -> [UInt8] {
        calls.flatMap { call in
            [call.function.rawValue, call.arguments.0, call.arguments.1]
                .flatMap { PayloadHeader.littleEndian($0) }
        } + PayloadHeader.littleEndian(UInt64(0))
    }

    static let callSize: UInt64 = 24
    /// The word, and how far it has got.
    static let blockSize: UInt64 = 16
    /// What the word says before the first call.
    static let pending: UInt64 = 0x8000_0000
    /// Room for libgcc's `struct object`, of which it keeps seven words at most.
    static let registrySize: UInt64 = 128
}

/// Where the parts are of what runs once, as offsets from the payload's start.
struct OnceLayout {
    let calls: Int
    var table: UInt64 = 0
    var block: UInt64 = 0
    /// Of each registry.
    var objects: [UInt64] = []
    var routine: UInt64 = 0
    /// Of each function, by its index.
    var gates: [UInt64] = []

    /// nil where nothing runs.
    init?(_ runsOnce: RunsOnce) {
        if runsOnce.isEmpty { return nil }
        calls = runsOnce.registries.count + runsOnce.callbacks.count
    }
}

/// How far a payload is with what it runs once.
public enum OnceProgress: String, Sendable {
    /// No thread has entered a replacement.
    case pending
    /// A thread is at it.
    case running
    case done

    /// What the word says.
    public init(word: UInt64) {
        self =
            switch word {
            case 0: .done
            case OnceRoutine.pending: .pending
            default: .running
            }
    }
}

extension LinkedPayload {
    /// Where a payload keeps what it has run.
    public struct OnceBlock: Sendable {
        /// The word, and behind it how far it has got.
        public let place: RemoteAddress
        /// How far it is when the unwinders know the tables and no callback has run.
        let registered: UInt64

        /// What to write at ``place`` when the patch is switched in again: the callbacks
        /// run once more, and the unwinders, who keep what they know, are not told
        /// again. nil where nothing is to be written: nothing has run yet, it runs
        /// just now, or there are no callbacks.
        ///
        /// - Parameter found: the bytes there.
        public func renewed(over found: [UInt8]) -> [UInt8]? {
            let bytes = ByteView(found)
            guard bytes.load(0, as: UInt64.self) == 0,
                let progress = bytes.load(8, as: UInt64.self), progress > registered
            else { return nil }
            return PayloadHeader.littleEndian(OnceRoutine.pending)
                + PayloadHeader.littleEndian(registered)
        }

        public static let size = Int(OnceRoutine.blockSize)
    }
}
