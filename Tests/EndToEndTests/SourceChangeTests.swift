import JSONText
import SystemPackage
import TestSupport
import Testing

/// A program with a history of changes: each is compiled, made into a patch, put into
/// the running program, which answers the new way then, and taken out again.
@Suite struct SourceChangeTests {
    static let changes = [
        LiveChange(
            number: 1, about: "a clone, which counts on in a variable of the base",
            questions: [("s", "sum 1 300", "sum 2 100"), ("s", "sum 3 300", "sum 4 100")],
            replaces: ["sum.constprop.0"]),
        LiveChange(
            number: 2, about: "an inlined function, with all who have it",
            questions: [("r15", "11 12", "21 22")],
            replaces: ["first_rounded", "second_rounded"]),
        LiveChange(
            number: 3, about: "new functions, variables, strings and tables",
            questions: [("s", "sum 1 300", "(better 1) sum 2 307")],
            replaces: ["sum.constprop.0"]),
        LiveChange(
            number: 4, about: "a second variable of a name that is numbered",
            questions: [("v", "1", "2 51")], replaces: ["main"]),
        LiveChange(
            number: 5, about: "a switch with its table, and a part that stands apart",
            questions: [("pf", "-1", "99"), ("pa", "17", "17"), ("ph", "4", "4")],
            replaces: ["priority"]),
        LiveChange(
            number: 6, about: "a function whose arguments the compiler has changed",
            questions: [("f7", "210", "211")], replaces: ["scaled.constprop.0"]),
        LiveChange(
            number: 7, about: "a function with other arguments",
            questions: [("l9", "5", "(cut) 5"), ("l3", "3", "3")],
            replaces: ["limited.constprop.0"]),
        LiveChange(
            number: 8, about: "calls into libraries that were not called before",
            questions: [("nabc", "abc", "ABC"), ("nxyz", "xyz", "?")], replaces: ["name"]),
        LiveChange(
            number: 9, about: "a constant table, with all who use it",
            questions: [("s", "sum 1 300", "sum 2 340"), ("ph", "4", "5")],
            replaces: ["priority", "sum.constprop.0"]),
        LiveChange(
            number: 10, about: "a thread-local variable of the base",
            questions: [("d3", "4", "8")], replaces: ["nested"]),
        LiveChange(
            number: 12, about: "a floating-point constant",
            questions: [("h3", "20", "10")], replaces: ["share"]),
        LiveChange(
            number: 13, about: "a function that is called by its address only",
            questions: [("o", "food fuel gold rent ", "rent gold fuel food ")],
            replaces: ["by_name"]),
    ]

    /// Those functions that are called by name in a loop that never ends are busy.
    @Test(arguments: changes.filter { !$0.replaces.contains("main") })
    func aChangeGoesLive(_ change: LiveChange) throws {
        let (base, patch) = try Self.patch(change)
        let victim = try startVictim(base)
        try change.goLive(patch, in: victim)
        // What counts has gone on.
        guard let first = change.questions.first, !first.old.hasPrefix("sum") else { return }
        #expect(try victim.ask(first.ask) == first.old)
    }

    /// Code for a fixed address takes those of what is new in 32 bits.
    @Test(arguments: changes.filter { [3, 8, 9, 13].contains($0.number) })
    func aProgramAtAFixedAddress(_ change: LiveChange) throws {
        let objects = try ChangedProgram.objects(
            change.number, flags: ["-fno-pie"], linked: ["-no-pie"])
        let output = objects.folder.appending("change.hpatch")
        try Tool.expect(0, objects.arguments(output: output))
        let victim = try startVictim(objects.base)
        let question = try #require(change.questions.last)
        #expect(try victim.ask(question.ask) == question.old)
        try Tool.expect(0, ["apply", output.string, "--pid", "\(victim.pid)"])
        #expect(try victim.ask(question.ask) == question.new)
    }

    @Test(arguments: changes) func whatChangedIsReplacedAndNothingElse(_ change: LiveChange) throws
    {
        let (_, patch) = try Self.patch(change)
        try change.expectReplacements(by: patch)
    }

    @Test func jsonTellsWhatWasCompared() throws {
        let objects = try ChangedProgram.objects(5)
        let folder = try TemporaryDirectory()
        let document = try Tool.json(
            objects.arguments(output: folder.path.appending("change.hpatch")))
        #expect(try document.member("comparedFunctions").integer() > 10)
        #expect(try document.member("movedLines").integer() == 0)
        #expect(try document.member("patch").member("name").string() == "change")
    }

    private static func patch(_ change: LiveChange) throws -> (base: FilePath, patch: FilePath) {
        let objects = try ChangedProgram.objects(change.number)
        let output = objects.folder.appending("change.hpatch")
        try Tool.expect(0, objects.arguments(output: output), says: ["Made"])
        return (objects.base, output)
    }
}

/// `Tests/Fixtures/changes/ledger.c` as it runs, and as objects before and after one of
/// its changes.
struct ChangedProgram {
    let base: FilePath
    let before: FilePath
    let after: FilePath
    /// A folder of its own.
    let folder: FilePath

    func arguments(output: FilePath) -> [String] {
        [
            "diff", "--base", base.string, "--before", before.string, "--after", after.string,
            "-o", output.string,
        ]
    }

    private static let sections = ["-ffunction-sections", "-fdata-sections", "-c"]

    static func objects(
        _ change: Int, flags: [String] = ["-fPIE"], linked: [String] = ["-pie"]
    ) throws -> Self {
        let flags = ["-std=gnu17", "-O2", "-g"] + flags
        let name = "changes/ledger"
        return Self(
            base: try Fixture.compile(name, flags: flags + linked, output: "ledger"),
            before: try Fixture.compile(name, flags: flags + sections, output: "ledger.o"),
            after: try Fixture.compile(
                name, flags: flags + sections + ["-DCHANGE=\(change)"], output: "ledger.o"),
            folder: try TemporaryDirectory.forWholeRun.get().makeDirectory())
    }
}
