import Glibc
import SystemPackage

/// Holding a program at its start, tried on a program and a script of our own in a
/// new folder, which nobody else runs and which goes away with this value.
struct ExecTrials: ~Copyable {
    private let folder: FilePath
    private let failure: Errno?

    private var file: FilePath { folder.appending("program") }
    private var script: FilePath { folder.appending("script") }

    init() {
        let parent = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/hotpatch-doctor.XXXXXX".utf8CString)
        let isMade = unsafe mkdtemp(&template) != nil
        let error = errno
        folder = FilePath(
            String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))
        failure = isMade ? Self.fill(folder) : Errno(rawValue: error)
    }

    deinit {
        unsafe unlink(folder.appending("program").string)
        unsafe unlink(folder.appending("script").string)
        unsafe rmdir(folder.string)
    }

    func program() -> Attempt<ExecHoldStep> { attempt(running: file, milliseconds: 2_000) }

    /// Not for long: every kernel known blocks here.
    func interpreter() -> Attempt<ExecHoldStep> { attempt(running: script, milliseconds: 500) }

    private func attempt(
        running program: FilePath, milliseconds: UInt32
    ) -> Attempt<ExecHoldStep> {
        if let failure { return .failure(failure) }
        let marked = file
        return Result { () throws(Errno) in
            try Trial.run(marking: marked, running: program, milliseconds: milliseconds)
        }
    }

    private static func fill(_ folder: FilePath) -> Errno? {
        let program = folder.appending("program")
        return write(smallestProgram, to: program)
            ?? write(Array("#!\(program)\n".utf8), to: folder.appending("script"))
    }

    private static func write(_ bytes: [UInt8], to path: FilePath) -> Errno? {
        do {
            let file = try FileDescriptor.open(
                path, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWriteExecute])
            try file.closeAfter { _ = try file.writeAll(bytes) }
            return nil
        } catch {
            return (error as? Errno) ?? .ioError
        }
    }

    /// An ELF program (elf(5)) that ends at once: one header, one segment, three
    /// instructions.
    private static let smallestProgram: [UInt8] =
        [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]  // e_ident: 64-bit, little
        + [2, 0, 62, 0, 1, 0, 0, 0]  // ET_EXEC, EM_X86_64, EV_CURRENT
        + quad(0x400078) + quad(64) + quad(0)  // e_entry, e_phoff, e_shoff
        + [0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]  // sizes and counts
        + [1, 0, 0, 0, 5, 0, 0, 0]  // PT_LOAD, PF_R | PF_X
        + quad(0) + quad(0x400000) + quad(0x400000)  // offset, addresses
        + quad(129) + quad(129) + quad(0x1000)  // sizes, alignment
        + [0x31, 0xff]  // xor %edi, %edi
        + [0xb8, 60, 0, 0, 0]  // mov $60, %eax (exit)
        + [0x0f, 0x05]  // syscall

    private static func quad(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
}
