import Addresses
import JSONText

/// What a payload says of itself at its start, so that a process alone tells
/// what is applied in it, whoever applied it and whatever became of the patch
/// file.
///
/// It lies in the target's memory. A target may have written there what it
/// liked, so whoever reads a record checks it against the process's mappings and
/// bytes before believing it.
public struct PayloadRecord: Equatable, Sendable {
    /// The patch's name, as `revert` takes it.
    public let name: String
    public let version: String
    /// BLAKE2b-256 of the patch file, in hexadecimal.
    public let digest: String
    /// The build that the patch was made for, as it is shown.
    public let base: String
    /// The patched object's path when the patch was applied.
    public let object: String
    public let bias: LoadBias
    public let extent: PayloadExtent
    /// Where the payload's unwind tables are, in the form of .eh_frame; empty where
    /// it has none.
    public let unwind: AddressRange<RemoteAddress>
    /// Whether nothing but a thread that runs in the payload can hold an address
    /// of it, so that its room may be used again once it is vacant.
    public let isConfined: Bool
    /// What it calls once before any replacement, in order.
    public let callbacks: [String]
    /// The word that tells whether it has (``OnceProgress``); nil where nothing runs
    /// once.
    public let onceWord: RemoteAddress?
    public let detours: [Detour]

    public init(
        name: String, version: String, digest: String, base: String, object: String,
        bias: LoadBias, extent: PayloadExtent, unwind: AddressRange<RemoteAddress>,
        isConfined: Bool = false, callbacks: [String] = [], onceWord: RemoteAddress? = nil,
        detours: [Detour]
    ) {
        self.name = name
        self.version = version
        self.digest = digest
        self.base = base
        self.object = object
        self.bias = bias
        self.extent = extent
        self.unwind = unwind
        self.isConfined = isConfined
        self.callbacks = callbacks
        self.onceWord = onceWord
        self.detours = detours
    }
}

/// Where a payload lies: three regions in a row, each of whole pages, with one
/// kind of access each, so that nothing is ever writable and executable.
public struct PayloadExtent: Equatable, Sendable {
    public let start: RemoteAddress
    /// Bytes of header, constants and global offset table: readable only.
    public let readOnly: UInt64
    /// Bytes of code: readable and executable.
    public let code: UInt64
    /// Bytes of data: readable and writable. At least one page.
    public let writable: UInt64

    public init(start: RemoteAddress, readOnly: UInt64, code: UInt64, writable: UInt64) {
        self.start = start
        self.readOnly = readOnly
        self.code = code
        self.writable = writable
    }

    public static let pageSize: UInt64 = 4096

    /// nil where the sizes are absurd or the payload would wrap around.
    public var range: AddressRange<RemoteAddress>? {
        let limit: UInt64 = 1 << 31
        guard readOnly < limit, code < limit, writable < limit else { return nil }
        return AddressRange(start: start, count: readOnly + code + writable)
    }

    public var readOnlyRange: AddressRange<RemoteAddress>? {
        AddressRange(start: start, count: readOnly)
    }

    public var codeRange: AddressRange<RemoteAddress>? {
        start.advanced(by: readOnly).flatMap { AddressRange(start: $0, count: code) }
    }

    public var writableRange: AddressRange<RemoteAddress>? {
        codeRange.flatMap { AddressRange(start: $0.end, count: writable) }
    }
}
