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
    static let limit = 4096
    /// Frames that are followed in all, at about 2 µs each, and 10 in code that is
    /// met for the first time: a bound on how long threads stand still for it.
    private static let budget = 16384
    /// How many frames there can be in all: the budget is looked at once a thread.
    static let capacity = budget + limit
    private var budget = CallChains.budget

    private let space: OpaquePointer
    private let process: TargetProcess
    /// The frames that were followed last, the innermost first.
    private var frames = [cunwind_frame](repeating: cunwind_frame(), count: limit)
    private var registers = [UInt64](repeating: 0, count: 17)
    /// Words of the stack that is walked, read at once: a read of each would take
    /// most of the time. Forgotten after each walk.
    private var window = [UInt64](repeating: 0, count: 256)
    private var windowStart: UInt64 = 0
    private var windowCount = 0

    /// nil where nothing of the process can be unwound.
    ///
    /// - Parameter tables: those of code that belongs to no ELF object.
    public init?(_ process: TargetProcess, tables: [UnwindTable] = []) {
        guard let map = try? process.memoryMap(),
            let objects = try? process.loadedObjects(in: map), let space = unsafe cunwind_open()
        else { return nil }
        unsafe self.space = unsafe space
        self.process = process
        for object in objects {
            // An object that cannot be opened ends the walks that come to it.
            _ = try? process.withFile(of: object) { descriptor in
                unsafe cunwind_add(space, object.path, descriptor, object.bias.rawValue)
            }
        }
        var room = UnwindTable.totalLimit
        for table in tables where table.place.count <= room {
            room -= table.place.count
            add(table.name, table.image(reading: process))
        }
        // The kernel's own object has no file. Time is asked for there.
        for region in map.regions where region.path == "[vdso]" {
            let bytes = try? process.read(region.range.start, count: Int(region.range.count))
            add(region.path, bytes, at: region.range.start)
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

    /// Adds an object that is linked to lie at zero and lies at `start`. Without
    /// it, walks that come to it end there.
    private func add(
        _ name: String, _ image: [UInt8]?, at start: RemoteAddress = RemoteAddress(rawValue: 0)
    ) {
        guard let image else { return }
        _ = unsafe cunwind_add_image(space, name, image, image.count, start.rawValue)
    }

    private func read(_ address: UInt64, into result: UnsafeMutablePointer<UInt64>) -> Bool {
        let offset = address &- windowStart
        if offset % 8 == 0, offset / 8 < UInt64(windowCount) {
            unsafe result.pointee = window[Int(offset / 8)]
            return true
        }
        windowStart = address
        windowCount = process.readWords(at: RemoteAddress(rawValue: address), into: &window)
        guard windowCount > 0 else { return false }
        unsafe result.pointee = window[0]
        return true
    }

    /// Appends the frames of a stopped thread, the innermost first, and tells
    /// whether that is all of them. Allocates nothing but what libdwfl does, where
    /// `list` has room.
    ///
    /// - Parameter limit: the number of frames that are followed at most.
    func follow(
        _ thread: StoppedThread, limit: Int, appendingTo list: inout [cunwind_frame]
    ) -> Bool {
        guard budget > 0 else { return false }
        for number in registers.indices {
            registers[number] = thread.registers.dwarfRegister(number) ?? 0
        }
        windowCount = 0
        var isComplete = false
        let count = unsafe cunwind_walk(
            space, thread.id.rawValue, registers, &frames, min(limit, Self.limit), &isComplete)
        budget -= count
        list.append(contentsOf: frames[0..<count])
        return isComplete
    }
}
