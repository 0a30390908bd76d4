import Addresses

/// What an undefined symbol of a patch stands for in one process.
public enum SymbolResolution: Hashable, Sendable {
    /// In the patched object itself, so within reach of the payload.
    case near(RemoteAddress)
    /// In another object, which may be anywhere. Functions may be reached by a
    /// stub of the payload instead.
    case far(RemoteAddress, isFunction: Bool)
    /// A function whose address this resolver returns (`STT_GNU_IFUNC`).
    case indirect(resolver: RemoteAddress)
    /// A thread-local variable.
    case threadLocal(ThreadLocalBinding)
    /// A weak symbol that nothing defines: its address is zero.
    case absent
}

/// Where a thread-local variable is found ("ELF Handling For Thread-Local
/// Storage", variant II).
public struct ThreadLocalBinding: Hashable, Sendable {
    /// The module's number in the dynamic thread vector, where it is known.
    public let module: UInt64?
    /// Bytes from the start of the module's block.
    public let offset: UInt64
    /// Bytes from the thread pointer, where the block is at a fixed distance
    /// from it, as the program's always is.
    public let threadPointerOffset: Int64?

    public init(module: UInt64?, offset: UInt64, threadPointerOffset: Int64?) {
        self.module = module
        self.offset = offset
        self.threadPointerOffset = threadPointerOffset
    }
}
