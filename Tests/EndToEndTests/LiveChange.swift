import JSONText
import SystemPackage
import TestSupport
import Testing

/// One change of a program with a history of them.
struct LiveChange: CustomTestStringConvertible {
    let number: Int
    /// What it is about.
    let about: String
    /// The sources that it reaches, of a program that has several.
    var sources = ["main"]
    /// What is asked, and how it is answered before, and with the patch.
    let questions: [(ask: String, old: String, new: String)]
    /// The functions that have to be replaced, and no others.
    let replaces: [String]

    var testDescription: String { about }

    /// Applies the patch before each question's new answer, and reverts it behind.
    func goLive(_ patch: FilePath, in victim: Victim) throws {
        let target = ["--pid", "\(victim.pid)"]
        for question in questions {
            #expect(try victim.ask(question.ask) == question.old)
            try Tool.expect(0, ["apply", patch.string] + target)
            try Tool.expect(0, ["status"] + target, says: ["change", "applied"])
            #expect(try victim.ask(question.ask) == question.new)
            try Tool.expect(0, ["revert", "change"] + target)
        }
    }

    /// The patch replaces what it has to, and nothing else.
    func expectReplacements(by patch: FilePath) throws {
        let functions = try Tool.json(["show", patch.string]).member("patch").member("functions")
        #expect(
            try functions.elements().map { try $0.member("symbol").string() }.sorted()
                == replaces.sorted())
    }
}
