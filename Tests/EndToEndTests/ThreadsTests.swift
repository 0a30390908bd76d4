import SystemPackage
import TestSupport
import Testing

/// Programs of one thread to a thousand, patched again and again while they
/// check every result that they compute.
@Suite(.serialized) struct ThreadsTests {
    /// What the victim has to say.
    private struct Report: Equatable {
        /// Old and new results of a round that was begun after the question.
        let freshOld, freshNew: Int
        /// Those that neither function gives, and system calls that were interrupted.
        let wrong, interrupted: Int

        init(from victim: Victim) throws {
            let words = try victim.ask("report").split(separator: " ")
            let numbers = words.compactMap { Int($0) }
            try #require(numbers.count == 6)
            (freshOld, freshNew) = (numbers[0], numbers[1])
            (wrong, interrupted) = (numbers[4], numbers[5])
        }
    }

    @Test(arguments: [(threads: 1, pairs: 30), (10, 120), (100, 40), (1000, 10)])
    func everyResultIsOldOrNew(_ size: (threads: Int, pairs: Int)) throws {
        try patchUnderLoad(Program.compile("workers"), size)
    }

    /// The same where two bytes lead to an island.
    @Test(arguments: [(threads: 1, pairs: 20), (10, 20)])
    func everyResultIsOldOrNewByWayOfAnIsland(_ size: (threads: Int, pairs: Int)) throws {
        let program = try Program.compile("workers", flags: ["-DSHORT_SITE"])
        try Tool.expect(0, ["inspect", program.string, "compute"], says: ["2 bytes, by way of 0x"])
        try patchUnderLoad(program, size)
    }

    private func patchUnderLoad(
        _ program: FilePath, _ size: (threads: Int, pairs: Int)
    ) throws {
        let patch = try Patch.build("workers-fix", for: program)
        let victim = try startVictim(program, ["\(size.threads)"])
        let target = ["--pid", "\(victim.pid)"]
        let before = try text(of: program, in: victim)
        var mappings = 0
        for pair in 1...size.pairs {
            try Tool.expect(0, ["apply", patch.string] + target)
            let patched = try Report(from: victim)
            #expect(patched.freshOld == 0 && patched.freshNew > 0)
            try Tool.expect(0, ["revert", "workers-fix"] + target)
            let reverted = try Report(from: victim)
            #expect(reverted.freshNew == 0 && reverted.freshOld > 0)
            #expect(reverted.wrong == 0 && reverted.interrupted == 0)
            if pair == 1 { mappings = try ProcessFacts(victim).maps().count }
        }
        #expect(try ProcessFacts(victim).maps().count == mappings)
        #expect(try text(of: program, in: victim) == before)
    }

    /// The program's code as it is in memory.
    private func text(of program: FilePath, in victim: Victim) throws -> [UInt8] {
        let regions = try ProcessFacts(victim).code().regions
        return try #require(regions.first { $0.line.hasSuffix(program.string) }).bytes
    }

    @Test func onePatchStandsOnAnotherByWayOfAnIsland() throws {
        let program = try Program.compile("workers", flags: ["-DSHORT_SITE"])
        let first = try Patch.build("workers-fix", for: program, name: "first")
        let second = try Patch.build("workers-fix", for: program, name: "second")
        let victim = try startVictim(program, ["4"])
        let target = ["--pid", "\(victim.pid)"]
        let before = try text(of: program, in: victim)
        for _ in 1...5 {
            for patch in [first, second] {
                try Tool.expect(0, ["apply", patch.string] + target)
                #expect(try Report(from: victim).freshOld == 0)
            }
            try Tool.expect(2, ["revert", "first"] + target, says: ["second"])
            for patch in ["second", "first"] {
                try Tool.expect(0, ["revert", patch] + target)
                #expect(try (Report(from: victim).freshNew == 0) == (patch == "first"))
            }
        }
        let report = try Report(from: victim)
        #expect(report.wrong == 0 && report.interrupted == 0)
        #expect(try text(of: program, in: victim) == before)
    }
}
