import Addresses
import LiveProcess

/// A thread found in guarded code.
public struct Activity: Hashable, Sendable {
    public enum Place: Hashable, Sendable {
        /// Its program counter stands there.
        case programCounter(RemoteAddress)
        /// A word of its stack at `slot` says so: a return address, or the
        /// program counter in a signal frame. Where unwinding cannot tell, it may be
        /// a leftover of a call that has returned.
        case stack(slot: RemoteAddress, value: RemoteAddress)
        /// Nothing is known: its stack pointer leads to no stack that can be read.
        case unknownStack(RemoteAddress)
    }

    public let thread: ThreadID
    public let threadName: String
    /// The guarded code that it is in.
    public let stretch: GuardedCode.Stretch
    public let place: Place

    public init(
        thread: ThreadID, threadName: String, stretch: GuardedCode.Stretch, place: Place
    ) {
        self.thread = thread
        self.threadName = threadName
        self.stretch = stretch
        self.place = place
    }
}

extension Activity {
    /// Whether unwinding the thread's stack could show that it is not active: what
    /// was found is a word of the stack, and not in the bytes to be rewritten.
    public var mayBeLeftover: Bool {
        if case .stack = place { stretch.degree == .function } else { false }
    }
}

extension GuardedCode {
    /// The first word of a stack that lies in guarded code, or nil.
    ///
    /// Every aligned word counts, whatever it is: return addresses, program
    /// counters that the kernel saved in signal frames, and leftovers alike. That
    /// is sound without unwinding anything, and a word costs one comparison.
    public func firstHit(
        inStack words: Span<UInt64>
    ) -> (index: Int, stretch: Stretch)? {
        for index in words.indices {
            if let stretch = stretch(at: words[index]) { return (index, stretch) }
        }
        return nil
    }
}

extension Activity: CustomStringConvertible {
    public var description: String {
        let who = "thread \(thread) ('\(threadName)')"
        return switch place {
        case .programCounter(let address): "\(who) is in \(name(of: address))"
        case .stack(_, let address): "\(who) will return into \(name(of: address))"
        case .unknownStack(let pointer): "\(who) is on a stack that cannot be read, at \(pointer)"
        }
    }

    /// `'parse_header'+0x1c (0x5555…)`, as a debugger would name it.
    private func name(of address: RemoteAddress) -> String {
        let offset = address.distance(from: stretch.start).map { "+0x" + String($0, radix: 16) }
        return "'\(stretch.symbol)'\(offset ?? "") (\(address))"
    }
}
