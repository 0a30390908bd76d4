import Addresses
import LiveProcess

/// A thread found in guarded code.
public struct Activity: Hashable, Sendable {
    public enum Place: Hashable, Sendable {
        /// Its program counter stands there, or did when a signal came.
        case programCounter(RemoteAddress)
        /// A word of its stack at `slot` says so: a return address, or the
        /// program counter in a signal frame. Where unwinding cannot tell, it may be
        /// a leftover of a call that has returned.
        case stack(slot: RemoteAddress, value: RemoteAddress)
        /// Nothing is known: its stack pointer leads to no stack that can be read.
        case unknownStack(RemoteAddress)
    }

    /// A thread that was found in the same call of a function again and again.
    public struct Stay: Hashable, Sendable {
        /// How often it was looked at; always it was there.
        public let looks: Int
        /// From the first look to the last.
        public let duration: Duration

        public init(looks: Int, duration: Duration) {
            self.looks = looks
            self.duration = duration
        }
    }

    public let thread: ThreadID
    public let threadName: String
    /// The guarded code that it is in.
    public let stretch: GuardedCode.Stretch
    public let place: Place
    /// Whether it is there for certain: its program counter or a frame that was
    /// unwound says so. Otherwise a word of its stack may be a leftover.
    public let isCertain: Bool
    /// Where the frame in guarded code ends, which tells one call from another.
    public let frame: RemoteAddress?
    /// nil where its frames were not followed.
    public internal(set) var backtrace: Backtrace?
    public internal(set) var stay: Stay?

    public init(
        thread: ThreadID, threadName: String, stretch: GuardedCode.Stretch, place: Place,
        isCertain: Bool = false, frame: RemoteAddress? = nil, backtrace: Backtrace? = nil,
        stay: Stay? = nil
    ) {
        self.thread = thread
        self.threadName = threadName
        self.stretch = stretch
        self.place = place
        self.isCertain = isCertain
        self.frame = frame
        self.backtrace = backtrace
        self.stay = stay
    }
}

extension Activity {
    /// Whether the thread is inside of a function that it cannot return from.
    public var neverReturns: Bool { isCertain && stretch.neverReturns }
}

extension [Activity] {
    /// The same with names for the frames. Slow: for when all threads run again.
    ///
    /// - Parameter tables: those of code that belongs to no ELF object.
    public func named(in process: TargetProcess, tables: [UnwindTable] = []) -> [Activity] {
        let instructions = compactMap(\.backtrace).reduce(into: Set<RemoteAddress>()) {
            $0.formUnion($1.instructions)
        }
        let names = FrameNames(of: instructions, in: process, tables: tables)
        return map { activity in
            var activity = activity
            activity.backtrace?.take(names)
            return activity
        }
    }
}

extension Activity: CustomStringConvertible {
    /// A sentence, without the backtrace.
    public var description: String {
        let stay = stay.map { stay in
            ", in the same call each of the \(stay.looks) times that it was looked at within "
                + "\(stay.duration.seconds) s"
        }
        return sentence + (stay ?? "")
    }

    private var sentence: String {
        if stretch.isOfProbes { return "\(who) is in a call that a probe hides (uprobe)" }
        switch place {
        case .programCounter(let address): return "\(who) is in \(name(of: address))"
        case .stack(_, let address): return "\(who) will return into \(name(of: address))"
        case .unknownStack(let pointer):
            return "\(who) is on a stack that cannot be read, at \(pointer)"
        }
    }

    /// `thread 17 ('worker')`
    public var who: String { "thread \(thread) ('\(threadName)')" }

    /// `'parse_header'+0x1c (0x5555…)`, as a debugger would name it.
    private func name(of address: RemoteAddress) -> String {
        let offset = address.distance(from: stretch.start).map { "+0x" + String($0, radix: 16) }
        return "'\(stretch.symbol)'\(offset ?? "") (\(address))"
    }
}

extension Duration {
    /// `1.5`: seconds as people read them.
    package var seconds: String {
        let (seconds, attoseconds) = components
        return "\(seconds).\(attoseconds / 100_000_000_000_000_000)"
    }
}
