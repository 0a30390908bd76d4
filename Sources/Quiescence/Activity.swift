import Addresses
import LiveProcess

/// A thread found in guarded code.
public struct Activity: Hashable, Sendable {
    public enum Place: Hashable, Sendable {
        /// Its program counter stands there.
        case programCounter(RemoteAddress)
        /// A word of its stack at `slot` says so: a return address, or the
        /// program counter in a signal frame. It may be a leftover of a call that
        /// has returned; what cannot be told apart counts as active.
        case stack(slot: RemoteAddress, value: RemoteAddress)
    }

    public let thread: ThreadID
    public let threadName: String
    public let symbol: String
    public let degree: GuardedCode.Degree
    public let place: Place

    public init(
        thread: ThreadID, threadName: String, symbol: String, degree: GuardedCode.Degree,
        place: Place
    ) {
        self.thread = thread
        self.threadName = threadName
        self.symbol = symbol
        self.degree = degree
        self.place = place
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
        let part = degree == .site ? "the bytes to be rewritten of '\(symbol)'" : "'\(symbol)'"
        return switch place {
        case .programCounter(let address): "\(who) is in \(part) at \(address)"
        case .stack(_, let value): "\(who) will return into \(part) at \(value)"
        }
    }
}
