import Addresses

/// Where a stopped thread keeps its return addresses.
public struct ThreadStack: Sendable {
    /// The stack that the thread is on, from its stack pointer to the top.
    public let inUse: AddressRange<RemoteAddress>
    /// The thread's ordinary stack, all of it, where it is on another one: on its
    /// alternate signal stack (sigaltstack(2)), or on that of a coroutine. nil
    /// where it is on its ordinary stack.
    ///
    /// How far down it is used is not known, so every word of it may be in use.
    public let ordinary: AddressRange<RemoteAddress>?
    /// Below the stack pointer on the ordinary stack: in use where the thread is on
    /// an alternate signal stack that lies inside it.
    let below: AddressRange<RemoteAddress>?
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
            return ThreadStack(
                inUse: used, ordinary: nil,
                below: AddressRange(start: home.start, end: pointer))
        }
        guard let index = index(at: pointer),
            let used = AddressRange(start: pointer, end: regions[index].range.end)
        else { return nil }
        return ThreadStack(inUse: used, ordinary: home, below: nil)
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

extension TargetProcess {
    /// How far the stacks of a thread could be shown.
    public enum StackReading: Sendable {
        case shownAll
        /// The caller had seen enough.
        case stopped
        /// Where they are is not known, or they cannot be read.
        case unreadable
    }

    /// Shows the words of a stopped thread's stacks, piece by piece from the stack
    /// pointer up, and then all of its ordinary stack where it is on another one.
    /// Allocates nothing.
    ///
    /// - Parameters:
    ///   - map: the mappings as they were just before the stop.
    ///   - buffer: room for a piece.
    ///   - show: gets the words and the address of the first; false ends it.
    public func showStacks(
        of thread: StoppedThread, in map: MemoryMap, buffer: inout [UInt64],
        _ show: (Span<UInt64>, RemoteAddress) -> Bool
    ) -> StackReading {
        let isFirst = thread.id.rawValue == id.rawValue
        guard let stack = map.stack(of: thread.registers, isFirst: isFirst) else {
            return .unreadable
        }
        var hasSignalFrame = false
        let reading = showWords(of: stack.inUse, buffer: &buffer) { words, start in
            hasSignalFrame = hasSignalFrame || mayHoldSignalFrame(words)
            return show(words, start)
        }
        guard case .shownAll = reading else { return reading }
        if let ordinary = stack.ordinary {
            return showWords(of: ordinary, buffer: &buffer, show)
        }
        guard hasSignalFrame, let below = stack.below else { return reading }
        return showWords(of: below, buffer: &buffer, show)
    }

    /// Whether the kernel may have saved registers there before it ran a signal
    /// handler: cs, gs, fs and ss stand in one word, which is the same for every
    /// 64-bit thread (sigcontext, arch/x86/include/uapi/asm/sigcontext.h).
    private func mayHoldSignalFrame(_ words: Span<UInt64>) -> Bool {
        for index in words.indices
        where words[index] & 0xffff_0000_0000_ffff == 0x002b_0000_0000_0033 {
            return true
        }
        return false
    }

    private func showWords(
        of range: AddressRange<RemoteAddress>, buffer: inout [UInt64],
        _ show: (Span<UInt64>, RemoteAddress) -> Bool
    ) -> StackReading {
        var address = RemoteAddress(rawValue: range.start.rawValue & ~7)
        while let left = range.end.distance(from: address), left >= 8 {
            let wanted = Int(clamping: left / 8)
            let count = readWords(at: address, count: wanted, into: &buffer)
            guard count > 0, let next = address.advanced(by: UInt64(count) * 8) else {
                return .unreadable
            }
            if !show(buffer.span.extracting(0..<count), address) { return .stopped }
            address = next
        }
        return .shownAll
    }
}
