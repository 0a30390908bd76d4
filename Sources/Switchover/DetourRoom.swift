import Addresses
import LiveProcess
import PatchFile
import PatchLinker

/// What a detour takes for itself: the code that it replaces, and the bytes that it
/// writes, which may lie in padding that serves other functions too.
struct DetourRoom {
    private let symbol: String
    private let code: [AddressRange<RemoteAddress>]
    /// The site, and the island where there is one.
    private let places: [AddressRange<RemoteAddress>]

    /// Of a function that a patch is going to replace.
    init(_ function: ReplacedFunction, at base: BaseObject) {
        symbol = function.symbol
        code = ([function.range] + function.fragments).compactMap(base.object.bias.remote)
        places = function.writtenPlaces.compactMap(base.object.bias.remote)
    }

    /// Of one that is in a process.
    init(_ detour: PayloadRecord.Detour) {
        symbol = detour.symbol
        code = detour.replaced
        places = detour.places
    }

    /// Whether both jump from one place and by way of the same island, as patches must
    /// that stand on one another.
    func hasPlaces(of other: DetourRoom) -> Bool { places == other.places }

    /// Why this cannot stand beside `other`, of a patch that is in the process and called
    /// `name`; nil where they have nothing in common.
    func conflict(with other: DetourRoom, ofPatch name: String) -> SwitchRefusal? {
        if let own = places.first, let site = other.places.first, own == site,
            let island = places.dropFirst().first, let otherIsland = other.places.dropFirst().first,
            island != otherIsland
        {
            return .otherPadding(
                symbol: symbol, place: island.start, by: name, otherPlace: otherIsland.start)
        }
        return paddingTaken(by: other, ofPatch: name)
            ?? (overlaps(other) ? .alreadyReplaced(symbol: symbol, by: name) : nil)
    }

    /// The same for two patches of one set, of which neither is in the process.
    func collision(
        with other: DetourRoom, of name: String, and otherName: String
    ) -> SwitchRefusal? {
        paddingTaken(by: other, ofPatch: otherName)
            ?? (overlaps(other)
                ? .replacedTwice(symbol: symbol, by: name, and: otherName) : nil)
    }

    /// That `other`, of another function, takes what this one needs for its jump.
    private func paddingTaken(by other: DetourRoom, ofPatch name: String) -> SwitchRefusal? {
        guard code.overlap(other.code) == nil, let shared = places.overlap(other.places) else {
            return nil
        }
        return .paddingTaken(
            symbol: symbol, place: shared.start, by: name, otherSymbol: other.symbol)
    }

    private func overlaps(_ other: DetourRoom) -> Bool {
        (code + places).overlap(other.code + other.places) != nil
    }
}

extension [AddressRange<RemoteAddress>] {
    /// The first that overlaps one of `others`.
    fileprivate func overlap(_ others: Self) -> Element? {
        first { range in others.contains(where: range.overlaps) }
    }
}
