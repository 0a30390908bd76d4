import Addresses

/// Where a stopped thread keeps its return addresses.
public struct ThreadStack: Sendable {
    /// The stack that the thread is on, from its stack pointer to the top.
    public let inUse: AddressRange<RemoteAddress>
    /// The thread's ordinary stack, all of it, where it is on another one: on its
    /// alternate signal stack (sigaltstack(2)), or on that of a coroutine. nil
    /// where it is on its ordinary stack.
    ///
    /// How far down it is used, a ``SignalFrame`` found on the other stack tells;
    /// without one, every word of it may be in use.
    public let ordinary: AddressRange<RemoteAddress>?
}

extension MemoryMap {
    /// The stacks of a thread, as this map shows them; nil where its stack
    /// pointer leads nowhere (a stack mapped after the map was read, perhaps).
    /// Allocates nothing.
    ///
    /// A first thread's stack is the mapping `[stack]`, which grows downwards. Any
    /// other thread's is the mapping that holds its thread control block, which
    /// glibc and musl put at its top.
    ///
    /// - Parameter isFirst: the thread has the number of the process.
    public func stack(of registers: Registers, isFirst: Bool) -> ThreadStack? {
        let pointer = registers.stackPointer
        let home = isFirst ? firstThreadStack(pointer) : stackBelow(registers.threadPointer)
        if let home, home.contains(pointer),
            let used = AddressRange(start: pointer, end: home.end)
        {
            return ThreadStack(inUse: used, ordinary: nil)
        }
        guard let index = index(at: pointer),
            let used = AddressRange(start: pointer, end: regions[index].range.end)
        else { return nil }
        return ThreadStack(inUse: used, ordinary: home)
    }

    /// `[stack]`, down to the pointer where it has grown since the map was read.
    private func firstThreadStack(_ pointer: RemoteAddress) -> AddressRange<RemoteAddress>? {
        guard let index = regions.lastIndex(where: { $0.path == "[stack]" }) else { return nil }
        let range = regions[index].range
        let below = index > 0 ? regions[index - 1].range.end : RemoteAddress(rawValue: 0)
        // It grows page by page; a pointer far below it is on another stack.
        let grown =
            pointer < range.start && pointer >= below
            && range.start.rawValue - pointer.rawValue < 64 << 20
        return AddressRange(start: grown ? pointer : range.start, end: range.end)
    }

    /// The mapping that ends with, or holds, a thread control block: up to it.
    private func stackBelow(_ block: RemoteAddress) -> AddressRange<RemoteAddress>? {
        guard let index = index(at: block), block.rawValue > 0 else { return nil }
        return AddressRange(start: regions[index].range.start, end: block)
    }
}

/// What the kernel saved on the stack of a thread before it ran a signal handler
/// (`struct rt_sigframe`, arch/x86/include/asm/sigframe.h).
public struct SignalFrame: Equatable, Sendable {
    public let address: RemoteAddress
    /// Where the thread was.
    public let programCounter: RemoteAddress
    /// The stack that it was on: everything from here up is in use, and below it
    /// the red zone of 128 bytes.
    public let stackPointer: RemoteAddress
    /// The alternate signal stack of the thread, where it has one.
    public let alternateStack: AddressRange<RemoteAddress>?

    /// Where the words of a frame are: return address, uc_flags, uc_link, uc_stack
    /// (pointer, flags, size), then the registers from r8 on (sigcontext(7)).
    private enum Word {
        static let flags = 1
        static let link = 2
        static let stackStart = 3
        static let stackFlags = 4
        static let stackSize = 5
        static let stackPointer = 21
        static let programCounter = 22
        static let segments = 24
        static let count = 30
    }

    /// Looks for the next frame from `index` on in the first `count` of `words`,
    /// which were read from `base`. Returns it with its index. Allocates nothing.
    ///
    /// A frame is known by what only the kernel writes: the 64-bit code segment
    /// beside the data segment, a null link and small flags. An old frame in
    /// stack memory that was left is found too.
    public static func next(
        in words: [UInt64], count: Int, from index: Int, base: RemoteAddress
    ) -> (frame: SignalFrame, index: Int)? {
        let end = min(count, words.count) - Word.count
        guard index >= 0, index <= end else { return nil }
        for start in index...end where isFrame(words, start) {
            let stack = AddressRange(
                start: RemoteAddress(rawValue: words[start + Word.stackStart]),
                count: words[start + Word.stackSize])
            let frame = SignalFrame(
                address: RemoteAddress(rawValue: base.rawValue &+ UInt64(start) * 8),
                programCounter: RemoteAddress(rawValue: words[start + Word.programCounter]),
                stackPointer: RemoteAddress(rawValue: words[start + Word.stackPointer]),
                alternateStack: stack.flatMap { $0.isEmpty ? nil : $0 })
            return (frame, start)
        }
        return nil
    }

    private static func isFrame(_ words: [UInt64], _ start: Int) -> Bool {
        // cs, gs, fs, ss, two bytes each: __USER_CS is 0x33, __USER_DS 0x2b.
        let segments = words[start + Word.segments]
        return segments & 0xffff == 0x33 && segments >> 48 == 0x2b
            && words[start + Word.link] == 0
            // UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
            && words[start + Word.flags] < 8
            // SS_ONSTACK, SS_DISABLE, SS_AUTODISARM
            && words[start + Word.stackFlags] & 0x7fff_fffc == 0
    }
}
