import CDigest

/// A BLAKE2b-256 digest in the making.
@safe struct Digest: ~Copyable {
    private let state: OpaquePointer

    /// nil where there is no memory for it.
    init?() {
        guard let state = unsafe cdigest_new() else { return nil }
        unsafe self.state = state
    }

    @unsafe
    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        unsafe cdigest_update(
            state, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    /// The 32 bytes of the digest.
    consuming func finish() -> [UInt8] {
        let state = unsafe self.state
        discard self
        return unsafe [UInt8](unsafeUninitializedCapacity: Int(CDIGEST_SIZE)) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            unsafe cdigest_finish(state, start)
            count = Int(CDIGEST_SIZE)
        }
    }

    deinit {
        var unused = [UInt8](repeating: 0, count: Int(CDIGEST_SIZE))
        unsafe cdigest_finish(state, &unused)
    }
}
