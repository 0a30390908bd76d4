import Addresses
import CUnwind
import LiveProcess

/// Follows the call chains of stopped threads by the unwind tables of what is
/// loaded: what tells a return address from a leftover that looks like one.
///
/// Preparing it opens the objects' files and takes milliseconds; that is done
/// while the process runs.
@safe public final class CallChains {
    /// Frames that are followed of one thread: deeper recursion counts as not
    /// followed.
    private static let limit = 4096
    /// Frames that are followed in all, at about 4 µs each: a bound on how long
    /// threads stand still for it.
    private var budget = 16384

    private let space: OpaquePointer
    private let process: TargetProcess
    private var counters = [UInt64](repeating: 0, count: limit)
    private var word: [UInt64] = [0]

    /// nil where nothing of the process can be unwound.
    public init?(_ process: TargetProcess) {
        guard let objects = try? process.loadedObjects(), let space = unsafe cunwind_open() else {
            return nil
        }
        unsafe self.space = unsafe space
        self.process = process
        for object in objects {
            // An object that cannot be opened ends the walks that come to it.
            _ = try? process.withFile(of: object) { descriptor in
                unsafe cunwind_add(space, object.path, descriptor, object.bias.rawValue)
            }
        }
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        let isReady = unsafe cunwind_prepare(
            space, process.id.rawValue,
            { context, address, word in
                let walker = unsafe Unmanaged<CallChains>.fromOpaque(context)
                    .takeUnretainedValue()
                return unsafe walker.read(address, into: word)
            }, context)
        guard isReady else { return nil }
    }

    deinit { unsafe cunwind_close(space) }

    private func read(_ address: UInt64, into result: UnsafeMutablePointer<UInt64>) -> Bool {
        guard process.readWords(at: RemoteAddress(rawValue: address), into: &word) == 1 else {
            return false
        }
        unsafe result.pointee = word[0]
        return true
    }

    /// Whether the thread's call chain was followed to its end, and no frame of it
    /// is in guarded code.
    func areFree(of guarded: GuardedCode, on thread: StoppedThread) -> Bool {
        guard budget > 0 else { return false }
        let registers = (0..<17).map { thread.registers.dwarfRegister($0) ?? 0 }
        var isComplete = false
        let count = unsafe cunwind_walk(
            space, thread.id.rawValue, registers, &counters, Self.limit, &isComplete)
        budget -= count
        return isComplete && !counters[0..<count].contains { guarded.stretch(at: $0) != nil }
    }
}
