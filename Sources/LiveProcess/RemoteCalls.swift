import Addresses
import CLinuxTrace
import Glibc
import SystemPackage

/// What to do with a target whose threads run under a seccomp filter.
public enum SeccompPolicy: Sendable {
    /// Make the calls that the filter permits, as it is read (needs CAP_SYS_ADMIN, and a
    /// tool without a filter), and no others.
    case refuse
    /// Suspend the filter for the moment of each call (needs CAP_SYS_ADMIN). The
    /// suspension ends with this tool: if it is killed in that moment, a filter
    /// whose action is to kill takes the target along.
    case suspend
    /// Make the calls: the filter is known to permit them.
    case permitted
}

/// A system call that the target can be made to make.
public struct RemoteSystemCall: Sendable {
    public let number: UInt64
    /// As in the manual, for messages.
    public let name: String

    public init(number: UInt64, name: String) {
        self.number = number
        self.name = name
    }

    public static let mmap = RemoteSystemCall(number: 9, name: "mmap")
    public static let mprotect = RemoteSystemCall(number: 10, name: "mprotect")
    public static let munmap = RemoteSystemCall(number: 11, name: "munmap")
    public static let close = RemoteSystemCall(number: 3, name: "close")
    public static let prctl = RemoteSystemCall(number: 157, name: "prctl")
    public static let memfdCreate = RemoteSystemCall(number: 319, name: "memfd_create")
}

/// A file descriptor of the target.
public struct RemoteDescriptor: Hashable, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }
}

/// PROT_* of a mapping.
public struct RemoteProtection: OptionSet, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let read = RemoteProtection(rawValue: 1)
    public static let write = RemoteProtection(rawValue: 2)
    public static let execute = RemoteProtection(rawValue: 4)
}

/// System calls that the target makes for us, one at a time.
///
/// Each call takes one thread of the target for some 50 µs; the others run on.
/// Between calls nothing of the target is stopped or traced. If the tool is
/// killed at any moment, the thread goes on as if nothing had been.
public struct RemoteCalls: ~Copyable {
    public let target: TargetProcess
    private let seccomp: SeccompPolicy
    private let place: StubPlace
    /// Where a file would be mapped at once; nil without room for it.
    private let runPlace: StubPlace?
    private var isWritten = false
    private var isRunWritten = false
    /// A thread may be in the stub still: it must not be written again, and stays.
    private var isLost = false
    /// The held thread that makes the calls has no seccomp filter, and gets none.
    private var isUnfiltered = false

    fileprivate init(_ target: TargetProcess, _ seccomp: SeccompPolicy) throws(LiveProcessError) {
        self.target = target
        self.seccomp = seccomp
        (place, runPlace) = try Self.findPlaces(in: target)
    }

    /// A free place, if need be one that a killed run left, and a longer one where there
    /// happens to be one.
    private static func findPlaces(
        in target: TargetProcess
    ) throws(LiveProcessError) -> (StubPlace, StubPlace?) {
        let found = try StubPlaces(in: target, everywhere: false)
        if let place = found.free.first { return (place, found.freeForRun) }
        try target.clearAbandonedStubs()
        let places = try StubPlaces(in: target, everywhere: true)
        guard let place = places.free.first else {
            throw .noRoomForStub(target.id, tried: places.searched)
        }
        return (place, places.freeForRun)
    }

    /// Makes the target call `call`. At most six arguments; the answer is what
    /// the kernel returned. Throws `remoteCall` where that is an error.
    public mutating func perform(
        _ call: RemoteSystemCall, _ arguments: UInt64...
    ) throws(LiveProcessError) -> UInt64 {
        try perform(call, arguments, inMemory: [])
    }

    private mutating func perform(
        _ call: RemoteSystemCall, _ arguments: [UInt64], inMemory bytes: [UInt8]
    ) throws(LiveProcessError) -> UInt64 {
        guard !isLost else { throw .lostDuringCall(target.id, name: call.name) }
        let request = RemoteCallRequest(
            injection: RemoteCallInjection(
                call: call, arguments: arguments, bytesInMemory: bytes, place: place),
            seccomp: seccomp)
        if let held = target.held, !isUnfiltered {
            isUnfiltered = try request.checkFilters(of: held, in: target)
        }
        isWritten = true
        let result: UInt64
        do throws(LiveProcessError) {
            result = try request.perform(in: target)
        } catch {
            if case .lostDuringCall = error { isLost = true }
            throw error
        }
        // The kernel's errors are -4095 to -1.
        let signed = Int64(bitPattern: result)
        if signed < 0, signed >= -4095 {
            throw .remoteCall(target.id, name: call.name, Errno(rawValue: Int32(-signed)))
        }
        return result
    }

    /// How a file is mapped at once; nil where it cannot be.
    func heldRun() throws(LiveProcessError) -> HeldRun? {
        guard let runPlace, !isLost else { return nil }
        return try HeldRun(in: target, at: runPlace.stub)
    }

    mutating func perform(
        _ run: HeldRun, mapping parts: [HeldRunStub.Part], ofFileNamed name: [UInt8],
        flags: UInt32
    ) throws(LiveProcessError) -> [UInt64] {
        isRunWritten = true
        do throws(LiveProcessError) {
            return try run.perform(mapping: parts, ofFileNamed: name, flags: flags)
        } catch {
            if case .lostDuringCall = error { isLost = true }
            throw error
        }
    }

    /// Throws `seccomp` where filters stand in the way of the calls that bring a patch.
    /// Makes none; a thread is stopped for a moment.
    fileprivate func requirePermission() throws(LiveProcessError) {
        let request = RemoteCallRequest(
            injection: RemoteCallInjection(
                call: .memfdCreate, arguments: [place.argument.rawValue, Self.memoryFileFlags],
                bytesInMemory: [], place: place),
            seccomp: seccomp, isJudgedOnly: true)
        if let held = target.held {
            _ = try request.checkFilters(of: held, in: target)
        } else {
            _ = try request.perform(in: target)
        }
    }

    /// Puts back the bytes that the stubs stood on.
    fileprivate func finish() throws(LiveProcessError) {
        guard !isLost else { return }
        let written = [isWritten ? place : nil, isRunWritten ? runPlace : nil]
        for place in written.compactMap(\.self) {
            try target.writeText(
                [UInt8](repeating: 0, count: place.size), at: place.stub, tracee: nil)
        }
    }

    // MARK: The calls that a patch needs

    /// memfd_create(2): a file in memory that only the target has, closed at
    /// exec, whose mappings show as `/memfd:NAME`. At most 63 bytes of name.
    public mutating func createMemoryFile(
        named name: String
    ) throws(LiveProcessError) -> RemoteMemoryFile {
        let shown = Array(name.utf8.prefix(StubPlace.argumentSize - 1))
        let descriptor = try createMemoryFile(shown + [0])
        return RemoteMemoryFile(descriptor, name: String(decoding: shown, as: UTF8.self))
    }

    private mutating func createMemoryFile(
        _ text: [UInt8]
    ) throws(LiveProcessError) -> RemoteDescriptor {
        let flags = Self.memoryFileFlags
        let pointer = place.argument.rawValue
        do throws(LiveProcessError) {
            return try descriptor(
                perform(.memfdCreate, [pointer, flags | Self.executableFile], inMemory: text))
        } catch .remoteCall(_, _, .invalidArgument) {
            return try descriptor(perform(.memfdCreate, [pointer, flags], inMemory: text))
        }
    }

    /// MFD_CLOEXEC | MFD_ALLOW_SEALING.
    static let memoryFileFlags: UInt64 = 1 | 2
    /// MFD_EXEC, since Linux 6.3.
    static let executableFile: UInt64 = 16
    /// MAP_PRIVATE | MAP_FIXED_NOREPLACE.
    static let privateAndFixed: UInt64 = 0x02 | 0x100000

    private func descriptor(_ result: UInt64) throws(LiveProcessError) -> RemoteDescriptor {
        guard let number = Int32(exactly: result) else {
            throw .malformed(
                target.id, place: "answer of memfd_create", rule: "not a descriptor", value: result)
        }
        return RemoteDescriptor(rawValue: number)
    }

    /// close(2). Where the target has closed it itself and may have opened another
    /// file under the number, nothing is done.
    public mutating func close(_ file: RemoteMemoryFile) throws(LiveProcessError) {
        guard target.stillHas(file) else { return }
        _ = try perform(.close, UInt64(UInt32(bitPattern: file.descriptor.rawValue)))
    }

    /// Maps `range` privately, from a file or without one. Throws `remoteCall`
    /// with EEXIST where something is mapped there already.
    public mutating func map(
        _ range: AddressRange<RemoteAddress>, _ protection: RemoteProtection,
        from file: RemoteMemoryFile?, at offset: FileOffset = FileOffset(rawValue: 0)
    ) throws(LiveProcessError) {
        // MAP_ANONYMOUS without a file.
        let flags = Self.privateAndFixed | (file == nil ? 0x20 : 0)
        let descriptor = file.map { UInt64(UInt32(bitPattern: $0.descriptor.rawValue)) } ?? .max
        let arguments = [
            range.start.rawValue, range.count, protection.rawValue, flags, descriptor,
            offset.rawValue,
        ]
        let result: UInt64
        do throws(LiveProcessError) {
            result = try perform(.mmap, arguments, inMemory: [])
        } catch .remoteCall(_, _, .noMemory) {
            result = try performWithoutLimit(.mmap, arguments)
        }
        guard result != range.start.rawValue else { return }
        // A kernel before 4.17 takes the address for a wish.
        _ = try perform(.munmap, result, range.count)
        throw .remoteCall(target.id, name: "mmap", .fileExists)
    }

    /// Makes a call that was refused for want of memory once more, with the limit of
    /// address space lifted, where there is one that can be.
    private mutating func performWithoutLimit(
        _ call: RemoteSystemCall, _ arguments: [UInt64]
    ) throws(LiveProcessError) -> UInt64 {
        let limit = try AddressSpaceLimit(of: target)
        guard limit.canBeLifted else {
            throw .remoteCall(target.id, name: call.name, .noMemory)
        }
        // Where there are no files in memory it goes without a note.
        let note = try? createMemoryFile(named: limit.note)
        let outcome: Result<UInt64, LiveProcessError>
        do throws(LiveProcessError) {
            try limit.lift()
            outcome = .success(try perform(call, arguments, inMemory: []))
        } catch {
            outcome = .failure(error)
        }
        limit.restore()
        if let note { try close(note) }
        return try outcome.get()
    }

    /// munmap(2).
    public mutating func unmap(_ range: AddressRange<RemoteAddress>) throws(LiveProcessError) {
        _ = try perform(.munmap, range.start.rawValue, range.count)
    }

    /// mprotect(2).
    public mutating func protect(
        _ range: AddressRange<RemoteAddress>, _ protection: RemoteProtection
    ) throws(LiveProcessError) {
        _ = try perform(.mprotect, range.start.rawValue, range.count, protection.rawValue)
    }
}

extension TargetProcess {
    /// Runs `body`, which makes the target perform system calls, and then leaves
    /// the target's code as it was, whatever `body` did.
    ///
    /// Takes the permission to trace the target. Throws what `body` throws, and
    /// `noRoomForStub`.
    public func withRemoteCalls<R>(
        seccomp: SeccompPolicy = .refuse,
        _ body: (inout RemoteCalls) throws(LiveProcessError) -> R
    ) throws(LiveProcessError) -> R {
        try requireSupportedProgram()
        var calls = try RemoteCalls(self, seccomp)
        let outcome: Result<R, LiveProcessError>
        do throws(LiveProcessError) {
            outcome = .success(try body(&calls))
        } catch {
            outcome = .failure(error)
        }
        let cleared: Result<Void, LiveProcessError>
        do throws(LiveProcessError) {
            cleared = .success(try calls.finish())
        } catch {
            cleared = .failure(error)
        }
        // What went wrong first is what the caller must know. A stub left behind
        // is harmless, and known by its marker.
        let result = try outcome.get()
        try cleared.get()
        return result
    }

    /// Throws `seccomp` where filters of the program do not permit the calls that bring
    /// a patch, or cannot be read.
    public func requirePermittedCalls() throws(LiveProcessError) {
        guard try facts().seccompMode != 0 else { return }
        try withRemoteCalls { calls throws(LiveProcessError) in try calls.requirePermission() }
    }
}
