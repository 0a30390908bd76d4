import CLinuxTrace
import Glibc
import SystemPackage

/// A folder of /proc whose numbered entries are tasks, and room to read it into.
struct NumberedFolder: ~Copyable {
    let folder: Descriptor
    private var buffer = [UInt8](repeating: 0, count: 32768)

    init(opening path: String, in parent: Int32 = AT_FDCWD) throws(Errno) {
        folder = try Descriptor.open(path, in: parent, O_RDONLY | O_DIRECTORY)
    }

    /// The names that are numbers, in the kernel's order.
    mutating func read() throws(Errno) -> [Int32] {
        guard lseek(folder.rawValue, 0, SEEK_SET) == 0 else { throw Errno(rawValue: errno) }
        var numbers: [Int32] = []
        while true {
            let count = unsafe clinux_directory_entries(folder.rawValue, &buffer, buffer.count)
            if count < 0 { throw Errno(rawValue: Int32(-count)) }
            if count == 0 { return numbers }
            collect(count, into: &numbers)
        }
    }

    /// Takes the names that are numbers from `count` bytes of linux_dirent64:
    /// length at 16 (two bytes), name at 19 with a zero behind it.
    private func collect(_ count: Int, into numbers: inout [Int32]) {
        var entry = 0
        while entry + 19 < count {
            let length = Int(buffer[entry + 16]) | Int(buffer[entry + 17]) << 8
            guard length > 19, entry + length <= count else { return }
            var value: Int32 = 0
            var position = entry + 19
            while position < entry + length, case let digit = buffer[position] &- 48, digit < 10 {
                value = value &* 10 &+ Int32(digit)
                position += 1
            }
            if value > 0, buffer[position] == 0 { numbers.append(value) }
            entry += length
        }
    }
}

/// The open folder /proc/PID/task.
struct TaskList: ~Copyable {
    private var tasks: NumberedFolder

    init(of target: TargetProcess) throws(Errno) { try self.init(in: target.folder) }

    /// - Parameter process: the open folder /proc/PID.
    init(in process: Descriptor) throws(Errno) {
        tasks = try NumberedFolder(opening: "task", in: process.rawValue)
    }

    /// All threads at this moment. A list during which threads start or end may
    /// miss one (fs/proc/base.c, first_tid): what must be complete is read until
    /// it repeats itself, or checked with ``count()``.
    mutating func read() throws(Errno) -> [ThreadID] {
        try tasks.read().map(ThreadID.init(rawValue:))
    }

    /// How many threads there are, dead ones that nobody has reaped included:
    /// the link count of the folder less two (fs/proc/base.c, proc_task_getattr).
    /// Costs one system call however many there are.
    func count() throws(Errno) -> Int {
        var facts = stat()
        guard unsafe fstat(tasks.folder.rawValue, &facts) == 0 else { throw Errno(rawValue: errno) }
        return Int(facts.st_nlink) - 2
    }

    /// What a thread does at this moment; nil where it is gone.
    func state(of thread: ThreadID) -> TaskState? { taskStat(of: thread)?.state }

    /// nil where the thread is gone.
    func taskStat(of thread: ThreadID) -> TaskStat? {
        do throws(Errno) {
            let file = try Descriptor.open("\(thread)/stat", in: tasks.folder.rawValue)
            return TaskStat(parsing: try file.readToEnd())
        } catch {
            // Gone between the listing and now, or about to be.
            return nil
        }
    }
}
