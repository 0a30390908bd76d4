import JSONText
import SystemPackage
import TestSupport
import Testing

/// What the code of a fix may use, one fix for each. The victim has one of
/// everything; it answers the old way before and after, and the new way between.
@Suite struct UsesTests {
    struct Case: CustomTestStringConvertible {
        enum Base { case program, library }

        let fix: String
        var base = Base.program
        let question: String
        let old: String
        /// The answers to the same question, asked as often.
        let new: [String]
        /// The answer after the fix is taken out, where that is not the old one.
        var after: String?

        var testDescription: String { fix }
    }

    static let cases = [
        Case(
            fix: "static-symbols", question: "ask", old: "old 142", new: ["new 142", "new 143"],
            after: "old 146"),
        Case(
            fix: "library-functions", question: "ask", old: "old 142", new: ["new Achpt 12 7"]),
        Case(fix: "ifuncs", question: "ask", old: "old 142", new: ["new 5 5 =bcd 42 8"]),
        Case(
            fix: "copied-data", question: "ask", old: "old 142",
            new: ["through stdout", "new 12 12 1"]),
        Case(
            fix: "thread-local-program", question: "threads", old: "old 162; old 162; old 162",
            new: ["new 11 30; new 11 30; new 11 30"]),
        Case(
            fix: "thread-local-library", base: .library, question: "threads-library",
            old: "old 101; old 101; old 101", new: ["new 110 6 0; new 110 6 0; new 110 6 0"]),
        Case(
            fix: "own-things", question: "ask", old: "old 142",
            new: ["new 1001 3000 zero", "new 1002 3003 one", "new 1003 3006 two"]),
        Case(
            fix: "several-functions", question: "ask", old: "old 142", new: ["new 1001 4 10"]),
        Case(fix: "floating-point", question: "mix", old: "1003.750", new: ["536.000"]),
        Case(fix: "stack-arguments", question: "sum", old: "9812", new: ["-9812"]),
        Case(
            fix: "variable-arguments", question: "tell", old: "1 two 3.5 4 5 6 7",
            new: ["new: 1 two 3.5 4 5 6 7"]),
        Case(fix: "error-number", question: "open", old: "13 0", new: ["-1 ENOENT"]),
    ]

    private func program(
        flags: [String] = []
    ) throws -> (program: FilePath, library: FilePath) {
        let library = try Program.compile("uses-library", flags: ["-fPIC", "-shared"])
        // The C library's mathematics, which only a fix uses.
        let mathematics = ["-Wl,--no-as-needed", "-lm"]
        let all = [library.string] + mathematics + flags
        return (try Program.compile("uses", flags: all), library)
    }

    @Test(arguments: cases) func aFixMayUse(_ test: Case) throws {
        let (program, library) = try program()
        let base = test.base == .program ? program : library
        let patch = try Patch.build("uses/\(test.fix)", for: base)
        let victim = try startVictim(program, environment: ["HOTPATCH_TEST": "here"])
        #expect(try victim.ask(test.question) == test.old)

        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        var answers: [String] = []
        while answers.count < test.new.count {
            try victim.send(test.question)
            answers.append(try victim.readLine())
            // A fix that prints a line of its own has answered with two.
            if answers.last == "through stdout" { answers.append(try victim.readLine()) }
        }
        #expect(answers == test.new)

        try Tool.expect(0, ["revert", test.fix, "--pid", "\(victim.pid)"])
        #expect(try victim.ask(test.question) == test.after ?? test.old)
    }

    /// Where indirect calls must land on an endbr64, the jump stands behind it.
    @Test func aFunctionWithAnEndbranch() throws {
        let (program, _) = try program(flags: ["-fcf-protection=full"])
        let function = try #require(
            Tool.json(["inspect", program.string, "sum"]).member("functions").elements().first)
        #expect(try function.member("site").member("behindEndbr64").bool())
        let patch = try Patch.build("uses/stack-arguments", for: program)
        let victim = try startVictim(program)
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("sum") == "-9812")
        try Tool.expect(0, ["revert", "stack-arguments", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("sum") == "9812")
    }

    /// A pointer into a patch may be anywhere, so a patch's code and data stay
    /// when it is taken out.
    @Test func aStoredPointerOutlivesThePatch() throws {
        let (program, _) = try program()
        let patch = try Patch.build("uses/stored-pointer", for: program)
        let victim = try startVictim(program)
        #expect(try victim.ask("hook") == "old hook")
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("hook") == "old hook")
        #expect(try victim.ask("ask") == "new")
        #expect(try victim.ask("hook") == "new hook 1")
        try Tool.expect(0, ["revert", "stored-pointer", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("ask") == "old 142")
        #expect(try victim.ask("hook") == "new hook 2")
        try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask("hook") == "new hook 3")
    }

    /// Several patches of one process do not know of each other.
    @Test func patchesOfSeveralObjectsAtOnce() throws {
        let (program, library) = try program()
        let fixes = [
            ("stack-arguments", program), ("error-number", program),
            ("thread-local-library", library),
        ]
        let victim = try startVictim(program)
        for (fix, base) in fixes {
            let patch = try Patch.build("uses/\(fix)", for: base)
            try Tool.expect(0, ["apply", patch.string, "--pid", "\(victim.pid)"])
        }
        #expect(try victim.ask("sum") == "-9812")
        #expect(try victim.ask("open") == "-1 ENOENT")
        #expect(try victim.ask("library") == "new 110 6 0")
        try Tool.expect(0, ["revert", "error-number", "--pid", "\(victim.pid)"])
        #expect(try victim.ask("sum") == "-9812")
        #expect(try victim.ask("open") == "13 0")
        try Tool.expect(
            0, ["revert", "--all", "--pid", "\(victim.pid)"],
            says: ["reverted 'stack-arguments'", "reverted 'thread-local-library'"])
        #expect(try victim.ask("sum") == "9812")
        #expect(try victim.ask("library") == "old 111")
    }
}
