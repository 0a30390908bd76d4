import JSONText
import SystemPackage
import TestSupport
import Testing

/// A program in C++ with threads, of several sources, with a history of changes: each is
/// made into a patch, put into the running program, and taken out again. The couriers
/// have what the ledger (``SourceChangeTests``) has not.
@Suite struct CourierChangeTests {
    static let changes = [
        LiveChange(
            number: 1, about: "a macro of a header", sources: ["main", "routes"],
            questions: [("aq20", "65", "130"), ("at7", "12", "77")],
            replaces: ["_ZL5totali", "_ZNK7courier5priceERK6parcel"]),
        LiveChange(
            number: 2, about: "an inline function of a header", sources: ["main", "routes"],
            questions: [("aq21", "68", "70"), ("bt7", "12", "20")],
            replaces: ["_ZL5totali", "_ZNK7courier5priceERK6parcel"]),
        LiveChange(
            number: 3, about: "an instance of a template", sources: ["routes"],
            questions: [("ah9", "9", "18"), ("bh2", "6", "12")],
            replaces: ["_Z7largestIiET_PKS0_i"]),
        LiveChange(
            number: 4, about: "a virtual function", sources: ["routes"],
            questions: [("aq9", "36", "36"), ("ar12", "96", "-1")],
            replaces: ["_ZNK7cyclist5priceERK6parcel"]),
        LiveChange(
            number: 5, about: "exceptions that pass through, and a new one", sources: ["routes"],
            questions: [
                ("ad60", "far: no courier goes there", "far: no courier goes there"),
                ("bd-5", "1", "it weighs nothing"), ("bd20", "201", "201"), ("ao", "0", "0"),
            ], replaces: ["_Z7deliverRK6parcel"]),
        LiveChange(
            number: 6, about: "an exception that is caught", sources: ["routes"],
            questions: [("bc60", "far: no courier goes there", "-2"), ("bc30", "3", "3")],
            replaces: ["_Z7checkedi"]),
        LiveChange(
            number: 7, about: "a variable of each thread", sources: ["routes"],
            questions: [("an", "101", "111"), ("bn", "101", "111"), ("an", "112", "122")],
            replaces: ["_Z5stampv"]),
        LiveChange(
            number: 8, about: "a function without a name", sources: ["routes"],
            questions: [("al2", "203", "203"), ("al5", "503", "305")],
            replaces: ["_ZL5applyPFiiiEii.constprop.0", "_ZZ6sortediiENUliiE_4_FUNEii"]),
        LiveChange(
            number: 9, about: "a function with any number of arguments", sources: ["routes"],
            questions: [("ay5", "8", "8"), ("by9", "12", "10")], replaces: ["_Z5tallyiz"]),
        LiveChange(
            number: 10, about: "a function that moves to another source",
            sources: ["main", "routes"],
            questions: [("as30", "4", "34"), ("bt25", "34", "59")],
            replaces: ["_Z9surchargei", "_ZL5totali", "_ZL6answerci"]),
        LiveChange(
            number: 11, about: "a new source", sources: ["routes", "toll"],
            questions: [("aq30", "95", "126")], replaces: ["_Z5quoteRK6parcel"]),
        LiveChange(
            number: 12, about: "a variable that is worked out once", sources: ["routes"],
            questions: [("ap", "40", "1040"), ("bp", "40", "1040")], replaces: ["_Z5depotv"]),
    ]

    @Test(arguments: changes) func aChangeGoesLive(_ change: LiveChange) throws {
        let output = try Couriers.folder().appending("change.hpatch")
        try Tool.expect(
            0, try Couriers.arguments(change.number, change.sources, output: output), says: ["Made"]
        )
        try change.expectReplacements(by: output)
        let victim = try startVictim(try Couriers.base())
        try change.goLive(output, in: victim)
        // Nothing is left on its way by who was thrown out.
        #expect(try victim.ask("bo") == "0")
    }

    @Test(arguments: [
        (40, "main", "'parcel' (couriers.h:", "diff.changed-layout"),
        (41, "routes", "its 'fast' the number 2 in place of 1", "diff.changed-layout"),
        (42, "routes", "'_ZTV7courier'", "diff.changed-data"),
        (43, "routes", "runs when the program starts", "diff.changed-initialiser"),
    ])
    func whatCannotGoLiveIsRefused(_ change: Int, _ source: String, _ says: String, _ code: String)
        throws
    {
        let output = try Couriers.folder().appending("change.hpatch")
        try Tool.expect(
            2, try Couriers.arguments(change, [source], output: output), says: [says, code])
    }
}

/// `Tests/Fixtures/changes/couriers.cc` as it runs, and as objects before and after one
/// of its changes.
private enum Couriers {
    private static let flags = ["-std=gnu++17", "-O2", "-g", "-fPIE"]
    private static let sections = ["-ffunction-sections", "-fdata-sections", "-c"]

    private static func fixture(_ source: String) -> String {
        "changes/couriers" + (source == "main" ? "" : "-\(source)") + ".cc"
    }

    static func folder() throws -> FilePath {
        try TemporaryDirectory.forWholeRun.get().makeDirectory()
    }

    static func base() throws -> FilePath {
        let routes = try Fixture.compile(
            fixture("routes"), flags: flags + ["-c"], output: "routes.o")
        return try Fixture.compile(
            fixture("main"), flags: flags + [routes.string, "-pie", "-pthread"], output: "couriers")
    }

    static func arguments(
        _ change: Int, _ sources: [String], output: FilePath
    ) throws -> [String] {
        func objects(_ number: Int) throws -> [String] {
            try sources.map { source in
                try Fixture.compile(
                    fixture(source), flags: flags + sections + ["-DCHANGE=\(number)"],
                    output: "\(source).o"
                ).string
            }
        }
        return try ["diff", "--base", base().string, "--before"] + objects(0)
            + ["--after"] + objects(change) + ["-o", output.string]
    }
}
