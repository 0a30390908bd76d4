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
        let program = try Program.compile("workers")
        let patch = try Patch.build("workers-fix", for: program)
        let victim = try startVictim(program, ["\(size.threads)"])
        let target = ["--pid", "\(victim.pid)"]
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
    }
}
