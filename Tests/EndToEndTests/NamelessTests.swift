import JSONText
import SystemPackage
import TestSupport
import Testing

/// Payloads for which there is no file in memory: they lie in anonymous memory, and
/// only what they say of themselves tells what they are.
@Suite struct NamelessTests {
    private func states(_ target: [String]) throws -> [String: String] {
        let rows = try Tool.tsv(["status"] + target)
        return Dictionary(
            rows.map { ($0["patch"] ?? "", $0["state"] ?? "") }, uniquingKeysWith: { $1 })
    }

    @Test(.enabled(if: NamelessVictim.isAvailable, "takes a kernel of 6.3 and namespaces"))
    func aKernelThatForbidsExecutableMemoryFiles() throws {
        let program = try Program.compile("original")
        let patch = try Patch.build("original-fix", for: program).string
        let second = try Patch.build("original-second", for: program).string
        let subject = try NamelessVictim(program)
        let target = ["--pid", "\(subject.pid)"]
        let facts = ProcessFacts(pid: subject.pid)
        let before = try facts.maps().count
        let old = try subject.victim.ask("ask")
        try Tool.expect(0, ["check", patch] + target)
        for _ in 0..<3 {
            try Tool.expect(0, ["apply", patch] + target)
            let patched = try subject.victim.ask("ask")
            #expect(patched != old)
            try Tool.expect(0, ["apply", second] + target)
            #expect(try ![old, patched].contains(subject.victim.ask("ask")))
            #expect(
                try states(target) == ["original-fix": "applied", "original-second": "applied"])
            try Tool.expect(0, ["revert", "original-second"] + target)
            #expect(try subject.victim.ask("ask") == patched)
            try Tool.expect(0, ["revert", "--all"] + target)
            #expect(try subject.victim.ask("ask") == old)
            try Tool.expect(0, ["recover"] + target, says: ["nothing to put right"])
        }
        #expect(
            try states(target) == ["original-fix": "reverted", "original-second": "reverted"])
        #expect(try subject.victim.ask("check").hasPrefix("good "))
        let maps = try facts.maps()
        // What is out is there once, and is used again.
        #expect(maps.count <= before + 6)
        #expect(!maps.contains { $0.contains("memfd") || $0.contains("wx") })
    }

    /// The program may open no further file.
    @Test func aProgramThatHasAllItsFilesOpen() throws {
        let program = try Program.compile("life")
        let patch = try Patch.build("life-fix", for: program).string
        let victim = try startVictim(program)
        let target = ["--pid", "\(victim.pid)"]
        let open = try Command.run("ls", ["/proc/\(victim.pid)/fd"]).output
            .split(separator: "\n").compactMap { Int($0) }
        // Below the limit, none is free.
        let limit = try #require((0...).first { !open.contains($0) })
        let set = try Command.run("prlimit", target + ["--nofile=\(limit)"])
        #expect(set.succeeded, Comment(rawValue: set.errorOutput))
        try Tool.expect(0, ["apply", patch] + target)
        #expect(try victim.ask("ask") == "new")
        try Tool.expect(0, ["revert", "life-fix"] + target)
        #expect(try victim.ask("ask") == "old")
    }
}
