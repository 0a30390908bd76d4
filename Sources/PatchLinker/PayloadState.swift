import Addresses
import ELFImage

/// What changes about a payload while it is there: the start of its writable
/// region. It is also the journal of a switch that is under way.
///
///     0   8  "HPSTATE2"
///     8   8  when it was last switched in, seconds since 1970; 0 for never
///     16  8  1 once a detour has led to the payload, for ever after
///     24  8  1 while a switch is under way in which it takes part
///     32  8  where the word is that decides that switch: in the payload that
///            leads it, this one or another
///     40  8  the word: 0, what was before, or 1, what is to be
///     48  8  1 from a revert that found no thread in the payload, until it is
///            switched in again
///     64  …  for each detour 32 bytes: where the function led before the switch,
///            where it leads after it, and where it led before the patch came;
///            addresses of code, that of the site for the function's own code,
///            0 for a function that takes no part
///
/// It lies in memory that the target can write, and is checked like any input.
public struct PayloadState: Equatable, Sendable {
    /// One detour's part.
    public struct Entry: Equatable, Sendable {
        public var before: UInt64 = 0
        public var after: UInt64 = 0
        public var beneath: UInt64 = 0

        public init() {}
    }

    public var appliedAt: UInt64 = 0
    public var isLive = false
    public var isSwitching = false
    public var decision = RemoteAddress(rawValue: 0)
    public var isDecided = false
    public var isVacant = false
    public var entries: [Entry]

    static let magic: [UInt8] = Array("HPSTATE2".utf8)
    static let headSize: UInt64 = 64
    static let entrySize: UInt64 = 32

    /// The state of a payload that nothing has led to yet.
    public init(detourCount: Int) { entries = Array(repeating: Entry(), count: detourCount) }

    /// Bytes that the state of so many detours takes.
    public static func size(detourCount: Int) -> UInt64 {
        headSize + UInt64(detourCount) * entrySize
    }

    /// Where the parts stand, from the state's start.
    public enum Offset {
        public static let isLive: UInt64 = 16
        public static let decision: UInt64 = 32
        public static let word: UInt64 = 40
        public static let tail: UInt64 = headSize

        static func entry(_ index: Int) -> UInt64 { headSize + UInt64(index) * entrySize }
        static func before(_ index: Int) -> UInt64 { entry(index) }
        static func after(_ index: Int) -> UInt64 { entry(index) + 8 }
    }

    /// What the whole of it takes in memory.
    public var bytes: [UInt8] { head + tail }

    /// Everything before the detours' parts. It lies at the start of a page, so that
    /// one write to it is not split.
    public var head: [UInt8] {
        var bytes = Self.magic
        let flags: [UInt64] = [
            appliedAt, isLive ? 1 : 0, isSwitching ? 1 : 0, decision.rawValue, isDecided ? 1 : 0,
            isVacant ? 1 : 0, 0,
        ]
        for word in flags { bytes += PayloadHeader.littleEndian(word) }
        return bytes
    }

    /// The detours' parts, which stand behind the head at ``Offset/tail``. Of many
    /// detours they take several pages.
    public var tail: [UInt8] {
        var bytes: [UInt8] = []
        for entry in entries {
            for word in [entry.before, entry.after, entry.beneath, 0] {
                bytes += PayloadHeader.littleEndian(word)
            }
        }
        return bytes
    }

    /// The state in `bytes`, or nil where they are none: the payload was not filled
    /// to its end, or somebody else has written there.
    public init?(parsing bytes: [UInt8], detourCount: Int) {
        let view = ByteView(bytes)
        guard bytes.starts(with: Self.magic),
            bytes.count >= Int(Self.size(detourCount: detourCount))
        else { return nil }
        func word(_ offset: UInt64) -> UInt64 { view.load(Int(offset), as: UInt64.self) ?? 0 }
        appliedAt = word(8)
        isLive = word(Offset.isLive) != 0
        isSwitching = word(24) != 0
        decision = RemoteAddress(rawValue: word(Offset.decision))
        isDecided = word(Offset.word) != 0
        isVacant = word(48) != 0
        entries = (0..<detourCount).map { index in
            var entry = Entry()
            entry.before = word(Offset.before(index))
            entry.after = word(Offset.after(index))
            entry.beneath = word(Offset.after(index) + 8)
            return entry
        }
    }
}

extension PayloadRecord {
    /// Where the payload's state is; nil where the record's sizes are absurd.
    public var statePlace: RemoteAddress? { extent.writableRange?.start }

    /// Where the word is that decides the switches which this payload leads.
    public var decisionWord: RemoteAddress? {
        statePlace?.advanced(by: PayloadState.Offset.word)
    }
}
