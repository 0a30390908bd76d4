import Addresses

/// Whether a detour can be put into a function.
public enum Verdict: Hashable, Sendable {
    case patchable(Site)
    case unpatchable(Refusal)

    /// A stable code: `patchable`, or why not.
    public var code: VerdictCode {
        switch self {
        case .patchable: .patchable
        case .unpatchable(let refusal): refusal.code
        }
    }

    public var site: Site? {
        if case .patchable(let site) = self { site } else { nil }
    }

    public var refusal: Refusal? {
        if case .unpatchable(let refusal) = self { refusal } else { nil }
    }
}

/// The bytes that a detour overwrites: five for a `jmp rel32`, or two for a
/// `jmp rel8` to an island, where the `jmp rel32` stands.
///
/// None crosses a border of pages, and neither does an island: one write within a
/// page is not split where the tool is killed.
public struct Site: Hashable, Sendable {
    /// Bytes of a `jmp rel32` (e9).
    public static let jumpSize: UInt64 = 5
    /// Bytes of a `jmp rel8` (eb).
    public static let shortJumpSize: UInt64 = 2
    /// The smallest page (SDM vol. 3, 4.1), of which every load bias is a multiple.
    static let pageSize: UInt64 = 4096

    public let address: LinkAddress
    /// ``jumpSize``, or ``shortJumpSize`` where there is an island.
    public let size: UInt64
    /// The first of five bytes of padding that this function alone uses.
    ///
    /// A thread may stand at an island's first byte while the detour is in place,
    /// so where it is taken away that byte counts as well.
    public let island: LinkAddress?
    /// The bytes between the function's entry and the site: an `endbr64`, which
    /// has to stay, and nops.
    public let offset: Int
    /// Whether the function starts with `endbr64`.
    public let followsEndbr64: Bool
    /// How many of the bytes lie behind the function, in its padding.
    public let paddingBytes: Int

    /// The bytes, or nil where they would pass the end of the address space.
    public var range: AddressRange<LinkAddress>? {
        AddressRange(start: address, count: size)
    }

    /// Whether `size` bytes at `address` lie in two pages.
    static func crossesPage(_ address: UInt64, size: UInt64) -> Bool {
        address / pageSize != (address + size - 1) / pageSize
    }
}

/// Each possible verdict, as a stable word.
public enum VerdictCode: String, CaseIterable, Hashable, Sendable {
    case patchable
    case outsideCode = "outside-code"
    case tooShort = "too-short"
    case labelInSite = "label-in-site"
    case siteAcrossPages = "site-across-pages"
    case undecodable
    case returnIntoSite = "return-into-site"
    case jumpIntoSite = "jump-into-site"
    case addressInSite = "address-in-site"
    case pointerIntoSite = "pointer-into-site"
    case tableIntoSite = "table-into-site"
    case relocatedSite = "relocated-site"
    case fragment
    case ifuncResolver = "ifunc-resolver"
    case pltStub = "plt-stub"
}

/// Why no detour can be put into a function, with the evidence.
public enum Refusal: Hashable, Sendable {
    /// The symbol does not lie in bytes that are executed.
    case outsideCode(section: String?)
    /// There are only `available` bytes up to what follows: code, a function or
    /// the end of the section.
    case tooShort(available: Int, next: LinkAddress?)
    /// A symbol stands at bytes 1–4 of the site.
    case labelInSite(Place)
    /// The site would lie in two pages, which one write cannot change.
    case siteAcrossPages(at: LinkAddress)
    /// No instruction is known to start here.
    case undecodable(at: LinkAddress, bytes: [UInt8])
    /// A call, or an instruction that enters the kernel, ends at bytes 1–4 of the
    /// site: a thread that is in it returns there.
    case returnIntoSite(instruction: LinkAddress, returnsTo: LinkAddress)
    /// A branch leads to bytes 1–4 of the site. Where the code around it is not
    /// known to be that of a function, it may be none.
    case jumpIntoSite(from: Place, target: LinkAddress, isCertain: Bool)
    /// An instruction takes the address of bytes 1–4 of the site.
    case addressInSite(by: Place, target: LinkAddress)
    /// A word in the data holds the address of bytes 1–4 of the site.
    case pointerIntoSite(at: LinkAddress, target: LinkAddress)
    /// An entry of a table of relative addresses leads to bytes 1–4 of the site.
    case tableIntoSite(table: LinkAddress, entry: Int, usedBy: Place, target: LinkAddress)
    /// The loader writes into the site: its bytes in memory are not the file's.
    case relocatedSite(at: LinkAddress)
    /// A part of a function, to which its other part jumps.
    case fragment(of: String?)
    /// It runs once, before anybody can patch it, to choose the implementation.
    case ifuncResolver
    /// A stub that calls another object's function.
    case pltStub

    public var code: VerdictCode {
        switch self {
        case .outsideCode: .outsideCode
        case .tooShort: .tooShort
        case .labelInSite: .labelInSite
        case .siteAcrossPages: .siteAcrossPages
        case .undecodable: .undecodable
        case .returnIntoSite: .returnIntoSite
        case .jumpIntoSite: .jumpIntoSite
        case .addressInSite: .addressInSite
        case .pointerIntoSite: .pointerIntoSite
        case .tableIntoSite: .tableIntoSite
        case .relocatedSite: .relocatedSite
        case .fragment: .fragment
        case .ifuncResolver: .ifuncResolver
        case .pltStub: .pltStub
        }
    }
}

/// An address, and the function that it lies in.
public struct Place: Hashable, Sendable, CustomStringConvertible {
    public let address: LinkAddress
    public let function: String?
    /// Bytes from the function's start.
    public let offset: UInt64

    public var description: String {
        guard let function else { return "\(address)" }
        return offset == 0 ? function : "\(function)+0x\(String(offset, radix: 16))"
    }
}

extension Refusal: CustomStringConvertible {
    /// One sentence without the function's name and without a full stop.
    public var description: String {
        switch self {
        case .outsideCode(let section):
            return "it lies in \(section.map { "section \($0)" } ?? "no section"), "
                + "which is not executable code"
        case .tooShort(let available, let next):
            let follows = next.map { "; other code follows at \($0)" } ?? ""
            return "a detour takes 5 bytes, and there are \(available)\(follows)"
        case .labelInSite(let place):
            return "the symbol \(place) stands inside the bytes of the detour"
        case .siteAcrossPages(let address):
            return "the bytes of the detour at \(address) lie in two pages, which cannot be "
                + "changed at once"
        case .undecodable(let address, let bytes):
            let listing = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
            return "no known instruction at \(address): \(listing.joined(separator: " "))"
        case .returnIntoSite(let instruction, let target):
            return "the call or system call at \(instruction) returns to \(target), "
                + "inside the bytes of the detour"
        case .jumpIntoSite(let place, let target, let isCertain):
            return isCertain
                ? "bytes 1–4 are a jump target: \(place) jumps to \(target)"
                : "bytes 1–4 may be a jump target: the bytes at \(place), which belong to no "
                    + "known function, read as a jump to \(target)"
        case .addressInSite(let place, let target):
            return "\(place) takes the address \(target), inside the bytes of the detour"
        case .pointerIntoSite(let address, let target):
            return "the data at \(address) points to \(target), inside the bytes of the detour"
        case .tableIntoSite(let table, let entry, let user, let target):
            return "entry \(entry) of the jump table at \(table), which \(user) uses, leads to "
                + "\(target), inside the bytes of the detour"
        case .relocatedSite(let address):
            return "the loader writes to \(address), inside the bytes of the detour"
        case .fragment(let function):
            return "it is a part of \(function.map { "'\($0)'" } ?? "a function"), which jumps to "
                + "it; patch the whole function instead"
        case .ifuncResolver:
            return "it chooses an implementation once, when the program is loaded; patch the "
                + "implementation instead"
        case .pltStub:
            return "it is a stub that calls a function of another object; patch that function "
                + "in its own object"
        }
    }
}
