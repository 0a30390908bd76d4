import Addresses
import LiveProcess
import PatchLinker

/// The writes of a switch, in the order in which the tool may be killed between
/// any two of them and the program still runs as before, or as after.
///
/// All places of one page go into one write: within a page the kernel does not
/// split it, not even for SIGKILL. Where all functions change in a single page,
/// that write is the switch. Otherwise the entries are led to stubs first, which
/// still lead to what was before; then one word makes all of them lead to what is
/// to be; then the entries are led there directly.
struct WriteSequence {
    enum Step {
        case write(Phase, [PageWrite])
        /// The word is written.
        case decide
    }

    /// What a round of writes is about.
    enum Phase {
        case islands, stubs, jumps, padding
    }

    /// Bytes to change in one page.
    struct PageWrite {
        let page: Int
        var edits: [(offset: Int, bytes: [UInt8])]
    }

    /// Bytes that the switch overwrites, as they stand before.
    struct Place {
        let symbol: String
        let address: RemoteAddress
        let bytes: [UInt8]
        let isIsland: Bool
    }

    /// Part of a page, from the first to the last place that the switch writes.
    struct Page {
        fileprivate(set) var range: AddressRange<RemoteAddress>
        fileprivate(set) var places: [Place]
    }

    private(set) var pages: [Page] = []
    var places: [Place] { pages.flatMap(\.places) }
    private(set) var steps: [Step] = []
    private var numbers: [UInt64: Int] = [:]

    /// A place, what stands there and what is to stand there.
    private typealias Edit = (address: RemoteAddress, bytes: [UInt8])

    /// The sequence for a switch. `found` is what stands at each site and island,
    /// in the order of the changes.
    init(_ changes: [PatchSwitch.Change], over found: [Standing]) {
        notePlaces(changes, found)
        if Self.isOneWrite(changes) { addDirectSteps(changes) } else { addStagedSteps(changes) }
    }

    /// The sequence that leaves every function leading where it leads already, but
    /// directly: what an interrupted switch has left behind is put right.
    init(tidying changes: [PatchSwitch.Change], over found: [Standing]) {
        notePlaces(changes, found)
        addDirectSteps(changes)
    }

    /// The bytes at a site and on its island.
    struct Standing {
        let site: [UInt8]
        let island: [UInt8]?
    }

    /// Whether one write within a page changes where all functions lead.
    static func isOneWrite(_ changes: [PatchSwitch.Change]) -> Bool {
        let pages = Set(changes.map { page(of: decisivePlace(of: $0)) })
        return pages.count <= 1
    }

    /// Where the write goes that makes the function lead elsewhere.
    private static func decisivePlace(of change: PatchSwitch.Change) -> RemoteAddress {
        change.before == .original || change.after == .original
            ? change.detour.site : change.detour.jumpPlace
    }

    private static func page(of address: RemoteAddress) -> UInt64 {
        address.rawValue / PayloadExtent.pageSize
    }
}

// MARK: Where

extension WriteSequence {
    private mutating func notePlaces(_ changes: [PatchSwitch.Change], _ found: [Standing]) {
        var places: [Place] = []
        for (change, found) in zip(changes, found) {
            let detour = change.detour
            places.append(
                Place(
                    symbol: detour.symbol, address: detour.site, bytes: found.site,
                    isIsland: false))
            if let island = detour.island, let bytes = found.island {
                places.append(
                    Place(
                        symbol: detour.symbol, address: island.address, bytes: bytes,
                        isIsland: true))
            }
        }
        for place in places.sorted(by: { $0.address < $1.address }) { note(place) }
    }

    /// Places come in ascending order, and none crosses the border of a page.
    private mutating func note(_ place: Place) {
        guard let range = AddressRange(start: place.address, count: UInt64(place.bytes.count))
        else { return }
        let number = Self.page(of: place.address)
        if let index = numbers[number] {
            let start = pages[index].range.start
            pages[index].range = AddressRange(start: start, end: range.end) ?? range
            pages[index].places.append(place)
        } else {
            numbers[number] = pages.count
            pages.append(Page(range: range, places: [place]))
        }
    }

    private mutating func add(_ phase: Phase, _ edits: [Edit]) {
        var writes: [Int: PageWrite] = [:]
        for edit in edits {
            guard let page = numbers[Self.page(of: edit.address)] else { continue }
            let offset = Int(edit.address.distance(from: pages[page].range.start) ?? 0)
            writes[page, default: PageWrite(page: page, edits: [])].edits
                .append((offset, edit.bytes))
        }
        if !writes.isEmpty {
            steps.append(.write(phase, writes.values.sorted { $0.page < $1.page }))
        }
    }
}

// MARK: In which order

extension WriteSequence {
    private mutating func addDirectSteps(_ changes: [PatchSwitch.Change]) {
        add(.islands, changes.compactMap { $0.approach(to: $0.after) })
        add(.jumps, changes.compactMap { $0.arrival(at: $0.after, from: $0.before) })
        add(.padding, changes.compactMap(\.clearing))
    }

    private mutating func addStagedSteps(_ changes: [PatchSwitch.Change]) {
        add(.islands, changes.compactMap { $0.approach(to: $0.stub) })
        add(.stubs, changes.compactMap { $0.arrival(at: $0.stub, from: $0.before) })
        steps.append(.decide)
        add(.jumps, changes.compactMap { $0.arrival(at: $0.after, from: $0.stub) })
        add(.padding, changes.compactMap(\.clearing))
    }
}

extension PatchSwitch.Change {
    fileprivate var stub: PatchSwitch.Destination { .code(detour.stub) }

    /// The jump on an island that nothing leads to yet.
    fileprivate func approach(
        to destination: PatchSwitch.Destination
    ) -> (address: RemoteAddress, bytes: [UInt8])? {
        guard let island = detour.island, before == .original, destination != .original,
            let bytes = detour.bytes(leadingTo: destination)?.island
        else { return nil }
        return (island.address, bytes)
    }

    /// The write that makes the function lead to `destination`.
    fileprivate func arrival(
        at destination: PatchSwitch.Destination, from origin: PatchSwitch.Destination
    ) -> (address: RemoteAddress, bytes: [UInt8])? {
        guard let bytes = detour.bytes(leadingTo: destination) else { return nil }
        // From one jump to another by way of an island it is the island that changes.
        if origin != .original, destination != .original, let island = detour.island,
            let jump = bytes.island
        {
            return (island.address, jump)
        }
        return (detour.site, bytes.site)
    }

    /// The island's padding, once nothing leads there any more.
    fileprivate var clearing: (address: RemoteAddress, bytes: [UInt8])? {
        guard after == .original, let island = detour.island else { return nil }
        return (island.address, island.padding)
    }
}
