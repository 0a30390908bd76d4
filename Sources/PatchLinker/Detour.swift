import Addresses

extension PayloadRecord {
    /// One function that the payload replaces, and every byte that stands at its
    /// entry for each place that it may lead to.
    public struct Detour: Equatable, Sendable {
        /// The function's name in the base.
        public let symbol: String
        /// Where the function's code is overwritten: with a `jmp rel32`, or where
        /// that finds no room with a `jmp rel8` to the island.
        public let site: RemoteAddress
        /// What stands at the site without a patch: five bytes, or two where there
        /// is an island.
        public let original: [UInt8]
        public let island: Island?
        /// Where the patch leads: the replacement, or the thunk before it.
        public let entry: RemoteAddress
        /// The code by which this function goes one way or the other while a
        /// switch of several is under way (``DetourStub``).
        public let stub: RemoteAddress
        /// The original's first instructions, moved here and followed by a jump to
        /// the rest; nil where they cannot be moved.
        public let moved: RemoteAddress?
        /// The code that the patch makes unreachable: the original and its
        /// fragments.
        public let replaced: [AddressRange<RemoteAddress>]

        public init(
            symbol: String, site: RemoteAddress, original: [UInt8], island: Island? = nil,
            entry: RemoteAddress, stub: RemoteAddress, moved: RemoteAddress?,
            replaced: [AddressRange<RemoteAddress>]
        ) {
            self.symbol = symbol
            self.site = site
            self.original = original
            self.island = island
            self.entry = entry
            self.stub = stub
            self.moved = moved
            self.replaced = replaced
        }
    }
}

extension PayloadRecord {
    /// The moved entry of a detour: up to the next thing that is known to follow, so
    /// that it may seem longer than it is. nil where there is none.
    public func movedEntry(of detour: Detour) -> AddressRange<RemoteAddress>? {
        guard let start = detour.moved, let code = extent.codeRange, code.contains(start) else {
            return nil
        }
        var end = code.end
        for other in detours {
            for place in [other.entry, other.stub, other.moved ?? code.end]
            where place > start && place < end {
                end = place
            }
        }
        return AddressRange(start: start, end: end)
    }
}

extension PayloadRecord.Detour {
    /// Five bytes of padding near a site that has room for a short jump only.
    public struct Island: Equatable, Sendable {
        public let address: RemoteAddress
        /// The five bytes that stand there without a patch.
        public let padding: [UInt8]

        public init(address: RemoteAddress, padding: [UInt8]) {
            self.address = address
            self.padding = padding
        }
    }

    /// Where a function's entry leads.
    public enum Destination: Hashable, Sendable {
        /// Into the function itself: its own bytes stand there.
        case original
        case code(RemoteAddress)
    }

    /// Where the `jmp rel32` goes.
    public var jumpPlace: RemoteAddress { island?.address ?? site }

    /// `jmp rel32` (E9 cd, Intel SDM vol. 2) to `target`, for ``jumpPlace``; nil
    /// where that is out of reach.
    public func jump(to target: RemoteAddress) -> [UInt8]? {
        Rel32(from: jumpPlace, length: 5, to: target).map { [0xe9] + $0.bytes }
    }

    /// `jmp rel8` (EB cb) from the site to the island; nil without an island, or
    /// where it is out of reach.
    public var hop: [UInt8]? {
        guard let island,
            let distance = Int8(
                exactly: Int64(bitPattern: island.address.rawValue &- site.rawValue &- 2))
        else { return nil }
        return [0xeb, UInt8(bitPattern: distance)]
    }

    /// Whether every jump that a switch may have to write reaches.
    public var isReachable: Bool {
        jump(to: entry) != nil && jump(to: stub) != nil && (island == nil || hop != nil)
    }

    /// What stands at the site and, where there is one, on the island, when the
    /// function leads to `destination`. The linker and ``isReachable`` have settled
    /// that jumps reach; nil where one does not.
    public func bytes(
        leadingTo destination: Destination
    ) -> (site: [UInt8], island: [UInt8]?)? {
        switch destination {
        case .original: return (original, island?.padding)
        case .code(let target):
            guard let jump = jump(to: target) else { return nil }
            if island == nil { return (jump, nil) }
            return hop.map { ($0, jump) }
        }
    }

    /// Where bytes found at the site, and on the island, lead; nil where they are
    /// neither the original nor a jump of ours.
    public func destination(site found: [UInt8], island foundOnIsland: [UInt8]?) -> Destination? {
        if found == original { return .original }
        let jump: [UInt8]
        if let foundOnIsland {
            guard found == hop else { return nil }
            jump = foundOnIsland
        } else {
            jump = found
        }
        guard jump.count == 5, jump[0] == 0xe9 else { return nil }
        let displacement = jump[1...].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let end = jumpPlace.rawValue &+ 5
        return .code(
            RemoteAddress(
                rawValue: end
                    &+ UInt64(bitPattern: Int64(Int32(bitPattern: displacement)))))
    }
}
