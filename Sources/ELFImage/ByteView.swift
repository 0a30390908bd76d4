import Glibc

/// Immutable bytes with a shared owner. A slice costs no copy and keeps the
/// owner alive.
///
/// Every access is checked: an offset from a hostile file gives nil, not a trap.
public struct ByteView: Sendable {
    /// The memory that views share. Written once, before the first view exists.
    @usableFromInline
    @safe final class Storage: Sendable {
        @usableFromInline
        nonisolated(unsafe) let memory: UnsafeMutableRawBufferPointer

        /// Memory of `count` uninitialised bytes, which the caller fills before
        /// it makes a view.
        init(count: Int) {
            unsafe memory = .allocate(byteCount: count, alignment: 16)
            unsafe HugePages.prefer(for: memory)
        }

        deinit { unsafe memory.deallocate() }
    }

    @usableFromInline let storage: Storage
    @usableFromInline let start: Int
    public let count: Int

    init(_ storage: Storage) {
        self.storage = storage
        start = 0
        unsafe count = storage.memory.count
    }

    private init(_ storage: Storage, start: Int, count: Int) {
        self.storage = storage
        self.start = start
        self.count = count
    }

    /// A view of a copy of `bytes`.
    public init(_ bytes: [UInt8]) {
        let storage = Storage(count: bytes.count)
        unsafe storage.memory.copyBytes(from: bytes)
        self.init(storage)
    }

    public static let empty = ByteView([])

    public var isEmpty: Bool { count == 0 }

    private func holds(_ offset: Int, _ length: Int) -> Bool {
        offset >= 0 && length >= 0 && offset <= count && length <= count - offset
    }

    /// The integer at `offset`, least significant byte first, at any alignment;
    /// nil where it would pass the end.
    @inlinable
    public func load<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: T.Type) -> T? {
        unsafe withUnsafeBytes { bytes in
            guard offset >= 0, offset <= bytes.count,
                MemoryLayout<T>.size <= bytes.count - offset
            else { return nil }
            return T(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
    }

    /// The byte at `offset`, or nil outside the view.
    @inlinable
    public subscript(offset: Int) -> UInt8? { load(offset, as: UInt8.self) }

    /// The part of `count` bytes from `offset`, or nil where it would pass the end.
    public func slice(_ offset: Int, _ count: Int) -> ByteView? {
        guard holds(offset, count) else { return nil }
        return ByteView(storage, start: start + offset, count: count)
    }

    /// The bytes from `offset` up to the first zero byte, as a string (what is
    /// not UTF-8 is repaired); nil where no zero byte follows.
    public func cString(at offset: Int) -> String? {
        guard let length = cStringLength(at: offset) else { return nil }
        return unsafe withUnsafeBytes { bytes in
            unsafe String(decoding: bytes[offset..<offset + length], as: UTF8.self)
        }
    }

    /// How many bytes stand before the first zero byte from `offset` on, or nil
    /// where there is none.
    public func cStringLength(at offset: Int) -> Int? {
        guard offset >= 0, offset < count else { return nil }
        return unsafe withUnsafeBytes { bytes in
            unsafe bytes.distance(to: 0, from: offset, limit: bytes.count)
        }
    }

    /// Whether `byte` stands before the first zero byte from `offset` on.
    public func cString(at offset: Int, contains byte: UInt8) -> Bool {
        guard let length = cStringLength(at: offset) else { return false }
        return unsafe withUnsafeBytes { bytes in
            unsafe bytes.distance(to: byte, from: offset, limit: offset + length) != nil
        }
    }

    /// A copy of all bytes.
    public func array() -> [UInt8] {
        unsafe withUnsafeBytes { unsafe Array($0) }
    }

    /// Calls `body` with the bytes, which live as long as the call. For loops
    /// that have checked their bounds.
    @unsafe
    @inlinable
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let bytes = unsafe UnsafeRawBufferPointer(rebasing: storage.memory[start..<start + count])
        defer { withExtendedLifetime(storage) {} }
        return try unsafe body(bytes)
    }
}

extension UnsafeRawBufferPointer {
    /// How far behind `start` the first `byte` stands, before `limit`; both lie in
    /// the buffer.
    fileprivate func distance(to byte: UInt8, from start: Int, limit: Int) -> Int? {
        guard let base = unsafe baseAddress.map({ unsafe $0 + start }),
            let found = unsafe memchr(base, Int32(byte), limit - start)
        else { return nil }
        return unsafe UnsafeRawPointer(found) - base
    }
}
