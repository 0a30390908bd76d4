/// A number of bytes from the start of some address space.
///
/// The spaces of this project (a file, an object as linked, a running process)
/// are separate types, so that a value of one cannot be used in another. The
/// only crossing is ``LoadBias``.
public protocol AddressSpace: RawRepresentable<UInt64>, Hashable, Comparable, Sendable,
    CustomStringConvertible
{
    init(rawValue: UInt64)
}

extension AddressSpace {
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The address `count` bytes further, or nil past the end of the 64-bit space.
    public func advanced(by count: UInt64) -> Self? {
        let (sum, overflow) = rawValue.addingReportingOverflow(count)
        return overflow ? nil : Self(rawValue: sum)
    }

    /// The address `delta` bytes away, or nil outside the 64-bit space.
    public func offset(by delta: Int64) -> Self? {
        let (sum, overflow) =
            delta >= 0
            ? rawValue.addingReportingOverflow(UInt64(delta))
            : rawValue.subtractingReportingOverflow(delta.magnitude)
        return overflow ? nil : Self(rawValue: sum)
    }

    /// The number of bytes from `start` up to this address, or nil where it lies before.
    public func distance(from start: Self) -> UInt64? {
        rawValue >= start.rawValue ? rawValue - start.rawValue : nil
    }

    /// Hexadecimal with the usual prefix, as gdb and readelf users read it.
    public var description: String { "0x" + String(rawValue, radix: 16) }
}

/// A position in an ELF file, in bytes from its start.
public struct FileOffset: AddressSpace {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// An address as the linker assigned it (`st_value`, `p_vaddr`; gABI, chapter 4).
public struct LinkAddress: AddressSpace {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// An address in the memory of a running target.
public struct RemoteAddress: AddressSpace {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// What the loader added to an object's link addresses to get its addresses in
/// one process (`l_addr` of glibc's link map). Zero for a fixed-position
/// executable. It may wrap, as the psABI's unsigned base address does.
public struct LoadBias: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The bias under which `link` is found at `remote`.
    public init(of link: LinkAddress, at remote: RemoteAddress) {
        rawValue = remote.rawValue &- link.rawValue
    }

    /// Where a link address is found in the process.
    public func remote(_ address: LinkAddress) -> RemoteAddress {
        RemoteAddress(rawValue: address.rawValue &+ rawValue)
    }

    /// Which link address is found there.
    public func link(_ address: RemoteAddress) -> LinkAddress {
        LinkAddress(rawValue: address.rawValue &- rawValue)
    }

    /// The range in the process of a range of link addresses, or nil where it
    /// would wrap around the end of the address space.
    public func remote(_ range: AddressRange<LinkAddress>) -> AddressRange<RemoteAddress>? {
        AddressRange(start: remote(range.start), count: range.count)
    }
}
