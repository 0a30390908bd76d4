import Glibc

/// Many apply/revert pairs on the sample daemon while clients keep it busy.
enum EnduranceMeasurement {
    static func run(pairs: Int, tools: Tools, report: Report) throws {
        let build = "\(tools.sample)/build"
        let patch = "\(tools.scratch)/station-bounds.hpatch"
        _ = try Run([
            tools.hotpatch, "build", "--base", "\(build)/stationd", "-o", patch,
            "\(tools.sample)/fixes/station-bounds.c",
        ])
        let announcement = try Scratch()
        let daemon = try Child(
            service: ["\(build)/stationd", "0", "8"], descriptors: [nil, announcement.descriptor])
        let port = try Self.port(announcedIn: announcement)
        let client = try LineClient(port: port)
        let summary = try Scratch()
        let load = try Child(
            service: [
                "\(build)/load", "\(port)", "--connections", "8", "--watch", "STATION 3",
                "--old", Reply.old + "*", "--new", Reply.new,
            ], descriptors: [nil, summary.descriptor, STDERR_FILENO])

        let start = Clock.now
        let before = try mappings(of: daemon.pid)
        var afterFirst = before
        for pair in 0..<pairs {
            report.progress("apply and revert under load, \(pair) of \(pairs)")
            try client.expect(prefix: Reply.old)
            _ = try Run([tools.hotpatch, "apply", patch, "--pid", "\(daemon.pid)"])
            try client.expect(prefix: Reply.new)
            _ = try Run([tools.hotpatch, "revert", "station-bounds", "--pid", "\(daemon.pid)"])
            if pair == 0 { afterFirst = try mappings(of: daemon.pid) }
        }
        try client.expect(prefix: Reply.old)
        let seconds = Clock.now - start
        let after = try mappings(of: daemon.pid)
        let interrupted = try client.ask("STATS")
        let loadOutcome = try load.stop()
        _ = try daemon.stop()

        report.heading("\(pairs) apply/revert pairs on stationd under full load")
        report.line("each apply and revert proved by a changed reply, in \(seconds.fixed(1)) s")
        report.line("clients: \(summary.text.split(separator: "\n").last ?? "no summary")")
        report.line("daemon: \(interrupted)")
        report.line("mappings: \(before) before, \(afterFirst) after one pair, \(after) at the end")
        report.target(
            "failed requests", loadOutcome.exitCode == 0 ? "0" : "some", atMost: "0",
            holds: loadOutcome.exitCode == 0)
        report.target(
            "mappings beyond the first payload's", "\(after - afterFirst)", atMost: "0",
            holds: after <= afterFirst)
    }

    private enum Reply {
        static let old = "DRAFT"
        static let new = "ERR no station 3"
    }

    private static func mappings(of pid: pid_t) throws -> Int {
        try Machine.text(of: "/proc/\(pid)/maps").split(separator: "\n").count
    }

    private static func port(announcedIn announcement: borrowing Scratch) throws -> Int {
        for _ in 0..<500 {
            let words = announcement.text.split { $0 == " " || $0 == "," }
            if let index = words.firstIndex(of: "port"), index + 1 < words.count,
                let port = Int(words[index + 1])
            {
                return port
            }
            usleep(10000)
        }
        throw BenchError("stationd did not say its port")
    }
}

/// A connection to stationd: one line out, one line in.
struct LineClient: ~Copyable {
    private let connection: Int32

    init(port: Int) throws {
        connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard connection >= 0 else { throw BenchError(errno: errno, "socket") }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(connection, $0, size)
            }
        }
        guard result == 0 else { throw BenchError(errno: errno, "connecting to port \(port)") }
    }

    func ask(_ request: String) throws -> String {
        let line = request + "\n"
        guard unsafe send(connection, line, line.utf8.count, Int32(MSG_NOSIGNAL)) > 0
        else { throw BenchError(errno: errno, "asking stationd") }
        var reply: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 512)
        while reply.last != 10 {
            let got = unsafe recv(connection, &piece, piece.count, 0)
            guard got > 0 else { throw BenchError("stationd closed the connection") }
            reply += piece.prefix(got)
        }
        return String(decoding: reply.dropLast(), as: UTF8.self)
    }

    func expect(prefix: String) throws {
        let reply = try ask("STATION 3")
        guard reply.hasPrefix(prefix) else {
            throw BenchError("stationd answered '\(reply)', not '\(prefix)'")
        }
    }

    deinit { close(connection) }
}
