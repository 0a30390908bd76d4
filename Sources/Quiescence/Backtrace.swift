import Addresses
import CUnwind

/// The call chain of a thread, as a debugger would show it.
public struct Backtrace: Hashable, Sendable {
    public struct Frame: Hashable, Sendable {
        public enum Kind: Hashable, Sendable {
            /// Where the thread itself is.
            case innermost
            /// A call returns there.
            case caller
            /// The kernel's way back out of a signal handler.
            case signalReturn
            /// A signal interrupted the thread there.
            case interrupted
        }

        public let kind: Kind
        /// The program counter there, or the address that a call returns to.
        public let address: RemoteAddress
        /// nil where nothing is mapped there, or nothing of a name.
        public fileprivate(set) var place: FrameNames.Place?

        /// `0x000055… in parse_header+0x1c (/usr/sbin/server)`
        public var description: String {
            let address = "0x" + Self.padded(address.rawValue)
            if kind == .signalReturn { return "<signal handler called>" }
            guard let place else { return "\(address) in ??" }
            let function = place.function.map { "\($0.name)+0x\(String($0.offset, radix: 16))" }
            return "\(address) in \(function ?? "??") (\(place.object))"
        }

        private static func padded(_ number: UInt64) -> String {
            let digits = String(number, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
    }

    /// The innermost first; empty where nothing could be followed.
    public private(set) var frames: [Frame]
    /// Whether the last frame is the one that nobody called.
    public let isComplete: Bool

    public init(frames: [Frame], isComplete: Bool) {
        self.frames = frames
        self.isComplete = isComplete
    }
}

extension Backtrace {
    /// Frames as they were noted while the thread stood still, without names.
    init(_ frames: ArraySlice<cunwind_frame>, isComplete: Bool) {
        self.isComplete = isComplete
        self.frames = frames.enumerated().map { position, frame in
            // The way out of a handler is no call's return either (the augmentation
            // 'S', LSB "Exception Frames"), and what it interrupted comes next.
            let next = frames.startIndex + position + 1
            let isSignalReturn = next < frames.endIndex && !frames[next].is_return_address
            let kind: Frame.Kind =
                position == 0
                ? .innermost
                : frame.is_return_address
                    ? .caller : isSignalReturn ? .signalReturn : .interrupted
            return Frame(
                kind: kind, address: RemoteAddress(rawValue: frame.counter), place: nil)
        }
    }

    /// The instructions that names are looked up for.
    var instructions: Set<RemoteAddress> { Set(frames.map(\.instruction)) }

    mutating func take(_ names: FrameNames) {
        for index in frames.indices {
            guard var place = names[frames[index].instruction] else { continue }
            if frames[index].kind == .caller { place.function?.offset += 1 }
            frames[index].place = place
        }
    }

    /// The frames as lines, as gdb numbers them. Where there are more than
    /// `limit`, as in a deep recursion, the middle is left out.
    public func lines(limit: Int = .max) -> [String] {
        var lines: [String] = []
        let isCut = frames.count > limit
        let head = isCut ? limit * 2 / 3 : frames.count
        let tail = isCut ? frames.count - (limit - head) : frames.count
        for (number, frame) in frames.enumerated() {
            if number < head || number >= tail {
                lines.append("#\(number)".padded(to: 4) + frame.description)
            } else if number == head {
                lines.append("… \(tail - head) more frames …")
            }
        }
        if !isComplete {
            lines.append(
                frames.isEmpty
                    ? "its frames are not known"
                    : "frames below are not known: no unwind table tells who called")
        }
        return lines
    }
}

extension Backtrace.Frame {
    /// Where the frame stands in its function: a call that is a function's last
    /// instruction returns behind the function.
    fileprivate var instruction: RemoteAddress {
        kind == .caller ? RemoteAddress(rawValue: address.rawValue &- 1) : address
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        count < width ? self + String(repeating: " ", count: width - count) : self + " "
    }
}
