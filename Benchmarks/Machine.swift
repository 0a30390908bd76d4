import Glibc

/// What the figures were measured on.
enum Machine {
    static var processors: Int { Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    static var description: [String] {
        let load = (try? firstLine(of: "/proc/loadavg")).map { $0.split(separator: " ").prefix(3) }
        return [
            "\(processorName), \(processors) processors online",
            "Linux \(kernelRelease), frequency governor: \(governor)",
            "load average at the start: \(load?.joined(separator: " ") ?? "unknown")",
        ]
    }

    /// Waits until hardly anything wants a processor besides `count` threads and
    /// the bench; false where that does not come about in time.
    static func waitForQuiet(besides count: Int, seconds: Double) throws -> Bool {
        let deadline = Clock.now + seconds
        var quietLooks = 0
        while quietLooks < 4 {
            // The fourth field: "tasks that want a processor/all tasks" (proc_loadavg(5)).
            let fields = try firstLine(of: "/proc/loadavg").split(separator: " ")
            let wanting = fields.count > 3 ? fields[3].split(separator: "/").first : nil
            let isQuiet = wanting.flatMap { Int($0) }.map { $0 <= count + 1 } ?? true
            quietLooks = isQuiet ? quietLooks + 1 : 0
            if Clock.now > deadline { return false }
            usleep(1000)
        }
        return true
    }

    static func firstLine(of path: String) throws -> String {
        try text(of: path).split(separator: "\n").first.map(String.init) ?? ""
    }

    /// A file of /proc or /sys, read until its end: their sizes say nothing.
    static func text(of path: String) throws -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BenchError(errno: errno, "opening \(path)") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let got = unsafe read(descriptor, &piece, piece.count)
            guard got >= 0 else { throw BenchError(errno: errno, "reading \(path)") }
            if got == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += piece.prefix(got)
        }
    }

    private static var processorName: String {
        let lines = (try? text(of: "/proc/cpuinfo"))?.split(separator: "\n") ?? []
        let model = lines.first { $0.hasPrefix("model name") }
        return model?.split(separator: ":", maxSplits: 1).last.map { String($0.dropFirst()) }
            ?? "unknown processor"
    }

    private static var governor: String {
        (try? firstLine(of: "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")) ?? "unknown"
    }

    private static var kernelRelease: String {
        (try? firstLine(of: "/proc/sys/kernel/osrelease")) ?? "unknown"
    }
}
