import Glibc
import SystemPackage
import TestSupport
import Testing

extension RealProgramsTests {
    /// What a worker answers to requests of every kind, and wrk.
    @Test func nginx() throws {
        let program = try RealPrograms.path("nginx/objs/nginx")
        let site = try NginxSite()
        let server = try RunningCommand(
            program.string,
            ["-p", site.path.string, "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"])
        defer {
            // The worker outlives a master that is killed.
            server.signal(SIGTERM)
            #expect(throws: Never.self) { try server.finish() }
        }
        let children = FilePath("/proc/\(server.pid)/task/\(server.pid)/children")
        var worker: Int32?
        try wait(until: "nginx has a worker and answers") {
            let errors = try server.errorOutputSoFar()
            try #require(server.isRunning, "\(errors)")
            worker = try children.lines().first.flatMap { line in
                line.split(separator: " ").first.flatMap { Int32($0) }
            }
            return worker != nil && site.answers
        }
        try expectNoDifference(in: try #require(worker), of: program) {
            try site.load()
            return try site.answersToRequests()
        }
        #expect(server.isRunning)
    }
}

/// A folder with a configuration of nginx, and pages.
private final class NginxSite: Sendable {
    private let folder: TemporaryDirectory
    /// One of the loopback's addresses that nobody else uses.
    private let address: String

    var path: FilePath { folder.path }

    init() throws {
        folder = try TemporaryDirectory()
        let number = getpid()
        address = "127.\(1 + number >> 16 & 0x3f).\(number >> 8 & 0xff).\(number & 0xff):8087"
        let configuration = try RealPrograms.resource("nginx.conf").lines().joined(separator: "\n")
            .split(separator: "ADDRESS", omittingEmptySubsequences: false).joined(
                separator: address
            )
            .split(separator: "FOLDER", omittingEmptySubsequences: false)
            .joined(separator: folder.path.string)
        _ = try folder.write(configuration, to: "nginx.conf")
        let text = (1...3000).map { "<p>line \($0) of the page</p>" }.joined(separator: "\n")
        _ = try folder.write(text, to: "page.html")
        _ = try folder.write("<!--#if expr=\"$arg_a = 1\" -->one<!--#endif -->.\n", to: "ssi.shtml")
        _ = try folder.write("small\n", to: "small.txt")
        _ = try folder.write("{}\n", to: "some.json")
        _ = try folder.write("it is missing\n", to: "missing.txt")
        // Folders that everybody may read, since workers may run as nobody; the
        // same times in each run, for the headers; and a certificate.
        _ = try RealPrograms.shell(
            """
            cd \(path) && mkdir -m 777 listed upload && chmod 755 . && chmod 644 *.*
            cp small.txt listed && touch -d 2024-01-01 *.* listed listed/*
            printf 'user:%s\\n' "$(openssl passwd -apr1 -salt salt secret)" >passwords
            openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost \
                -keyout key.pem -out certificate.pem 2>/dev/null
            """)
    }

    var answers: Bool {
        let answer = try? RealPrograms.shell("curl -s http://\(address)/small.txt")
        return answer == "small\n"
    }

    /// The lines of the answers to all requests, without what differs each time.
    func answersToRequests() throws -> [String] {
        let requests = RealPrograms.resource("nginx.requests")
        let answers = try RealPrograms.shell(
            """
            cd \(path)
            while read -r request; do
                eval "curl -s -i --max-time 20 $request" </dev/null
                printf '\\nexit %s\\n' $?
            done <\(requests) | tr -d '\\r' | grep -aivE '^(date|expires):'
            """)
        let lines = answers.split(separator: "\n").map { String($0) }
        // Two of them have none: one connection is closed, one answer thrown away.
        let count = try requests.lines().count
        #expect(lines.count { $0.hasPrefix("exit ") } == count)
        #expect(lines.count { $0.hasPrefix("HTTP/") } >= count - 2)
        return lines
    }

    func load() throws {
        let report = try RealPrograms.shell("wrk -t 1 -c 16 -d 3s http://\(address)/page.html")
        #expect(report.contains("Requests/sec"), "\(report)")
        #expect(!report.contains("Socket errors") && !report.contains("Non-2xx"), "\(report)")
    }
}
