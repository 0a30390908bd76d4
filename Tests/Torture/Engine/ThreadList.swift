import Glibc
import SystemPackage
import TestSupport

/// What the threads of a process do, for messages about those that hang: each one's
/// number, name, state, and the system call and the kernel function that it is in.
func describeThreads(of pid: Int32) -> String {
    let tasks = FilePath("/proc/\(pid)/task")
    guard let threads = try? tasks.entries() else { return "process \(pid) is gone" }
    func line(_ path: FilePath) -> String { (try? path.lines().first) ?? "-" }
    let lines = threads.map { thread in
        let task = tasks.appending(thread)
        let stat = line(task.appending("stat")).split(separator: " ").prefix(3)
        let (call, place) = (line(task.appending("syscall")), line(task.appending("wchan")))
        return "  \(stat.joined(separator: " ")) in \(place), call \(call)"
    }
    return "process \(pid):\n" + lines.joined(separator: "\n")
}

/// The processes that a process has started and that have not been waited for.
func children(of pid: Int32) -> [Int32] {
    let list = try? FilePath("/proc/\(pid)/task/\(pid)/children").lines().first
    return (list ?? "").split(separator: " ").compactMap { Int32($0) }
}

extension FilePath {
    /// The names of what a folder holds.
    func entries() throws -> [String] {
        guard let folder = unsafe opendir(string) else { throw Errno(rawValue: errno) }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }
}
