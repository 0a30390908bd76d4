import Addresses

/// Code in which no thread may stand, or be about to return to, at the moment
/// of a switch.
///
/// Two degrees: inside the bytes that the switch rewrites no thread may ever
/// stand, since it would go on in the middle of another instruction. In the rest
/// of a replaced function a thread does no harm to itself, but old and new code
/// would run side by side.
public struct GuardedCode: Sendable {
    /// A stretch of code and why it is guarded.
    public struct Stretch: Hashable, Sendable {
        /// The function as the user knows it.
        public let symbol: String
        /// The addresses that count as inside: instructions that a thread may
        /// stand at, and return addresses.
        public let inside: ClosedRange<UInt64>
        public let degree: Degree
        /// Where the function, its fragment or the payload starts: places in it are
        /// told by their distance from here, as debuggers do.
        public let start: RemoteAddress
        /// Whether no path through the function's code leads to its end: a thread
        /// that is inside stays there.
        public let neverReturns: Bool

        public init(
            symbol: String, inside: ClosedRange<UInt64>, degree: Degree, start: RemoteAddress,
            neverReturns: Bool = false
        ) {
            self.symbol = symbol
            self.inside = inside
            self.degree = degree
            self.start = start
            self.neverReturns = neverReturns
        }
    }

    public enum Degree: Hashable, Sendable {
        /// The bytes that are rewritten.
        case site
        /// The function that is replaced.
        case function
    }

    public let stretches: [Stretch]
    private let index: StretchIndex

    public init(_ stretches: [Stretch]) {
        self.stretches = stretches
        index = StretchIndex(
            stretches.map { .init(addresses: $0.inside, comesFirst: $0.degree == .site) })
    }

    /// The rewritten bytes alone.
    var sites: GuardedCode { GuardedCode(stretches.filter { $0.degree == .site }) }

    /// The stretch that `address` lies in; a site before the function around it.
    public func stretch(at address: UInt64) -> Stretch? {
        index.element(at: address).map { stretches[$0] }
    }

    /// The first word of a stack from `start` on that lies in guarded code, or nil.
    ///
    /// Every aligned word counts, whatever it is: return addresses, program
    /// counters that the kernel saved in signal frames, and leftovers alike. That
    /// is sound without unwinding anything, and a word costs one comparison.
    public func firstHit(
        inStack words: Span<UInt64>, from start: Int = 0
    ) -> (index: Int, stretch: Stretch)? {
        let (low, span) = (index.low, index.span)
        for position in start..<max(start, words.count) where words[position] &- low <= span {
            if let stretch = stretch(at: words[position]) { return (position, stretch) }
        }
        return nil
    }
}

extension GuardedCode.Stretch {
    /// What the detour at `site` rewrites. To stand at its first byte is safe: the
    /// thread executes either the old instruction or the jump.
    public static func site(_ site: RemoteAddress, length: UInt64, of symbol: String) -> Self {
        let first = site.rawValue &+ 1
        return Self(
            symbol: symbol, inside: first...max(first, site.rawValue &+ (length - 1)),
            degree: .site, start: site)
    }

    /// Bytes that are rewritten, from the first on.
    public static func bytes(_ start: RemoteAddress, length: UInt64, of symbol: String) -> Self {
        let last = start.rawValue &+ (length - 1)
        return Self(
            symbol: symbol, inside: start.rawValue...max(start.rawValue, last), degree: .site,
            start: start)
    }

    /// A replaced function from behind its entry on: at `entry` itself, or before
    /// it, a thread has not begun and will take the detour.
    ///
    /// - Parameter endIsReturn: whether the function's last instruction is a
    ///   call, so that the address behind the function may be a return address.
    public static func function(
        _ range: AddressRange<RemoteAddress>, entry: RemoteAddress, endIsReturn: Bool,
        symbol: String, neverReturns: Bool = false
    ) -> Self? {
        let first = max(range.start.rawValue, entry.rawValue &+ 1)
        let last = endIsReturn ? range.end.rawValue : range.end.rawValue &- 1
        guard first <= last else { return nil }
        return Self(
            symbol: symbol, inside: first...last, degree: .function, start: range.start,
            neverReturns: neverReturns)
    }

    /// Where the kernel has return addresses lead that a return probe (uretprobe) has
    /// taken, and where it runs instructions that a probe stands on: a thread that is
    /// there, or returns there, may be anywhere.
    public static func probes(_ range: AddressRange<RemoteAddress>) -> Self? {
        piece(range, symbol: probesName)
    }

    /// What the kernel calls that mapping.
    public static let probesName = "[uprobes]"

    var isOfProbes: Bool { symbol == Self.probesName }

    /// A piece of code that counts from its first byte on: a fragment of a
    /// function, or a payload.
    public static func piece(
        _ range: AddressRange<RemoteAddress>, symbol: String, neverReturns: Bool = false
    ) -> Self? {
        guard !range.isEmpty else { return nil }
        return Self(
            symbol: symbol, inside: range.start.rawValue...range.end.rawValue, degree: .function,
            start: range.start, neverReturns: neverReturns)
    }
}
