import JSONText
import SystemPackage
import TestSupport
import Testing

/// The main story, for every kind of object that a process may have: the fix is
/// built, applied, seen, reverted and applied again.
@Suite struct KindsTests {
    enum Kind: String, CaseIterable {
        case positionIndependent, fixedAddress, staticProgram, staticPositionIndependent
        case library, openedLibrary
        case unoptimised
    }

    /// A program of one kind: the object that is patched, and how it is started.
    struct Subject {
        let program: FilePath
        let arguments: [String]
        let base: FilePath

        init(_ kind: Kind) throws {
            let flags: [String]
            switch kind {
            case .positionIndependent: flags = ["-fPIE", "-pie"]
            case .fixedAddress: flags = ["-fno-pie", "-no-pie"]
            case .staticProgram: flags = ["-static"]
            case .staticPositionIndependent: flags = ["-static-pie"]
            case .unoptimised: flags = ["-O0"]
            case .library, .openedLibrary:
                base = try Program.compile("kinds-object", flags: ["-fPIC", "-shared"])
                let isOpened = kind == .openedLibrary
                program = try Program.compile(
                    "kinds-main", flags: isOpened ? ["-DPLUGIN"] : [base.string])
                arguments = isOpened ? [base.string] : []
                return
            }
            let object = Fixture.sources.appending("endtoend/kinds-object.c").string
            program = try Program.compile("kinds-main", flags: flags + [object])
            base = program
            arguments = []
        }
    }

    @Test(arguments: Kind.allCases) func thereAndBackAndThereAgain(_ kind: Kind) throws {
        let subject = try Subject(kind)
        let name = "kinds-\(kind)"
        let patch = try Patch.build("kinds-fix", for: subject.base, name: name)
        let contents = try subject.base.bytes()
        let victim = try startVictim(subject.program, subject.arguments)
        let facts = ProcessFacts(victim)
        let target = ["--pid", "\(victim.pid)"]
        let started = try facts.startTime()
        let mappings = try facts.maps().count
        #expect(try victim.ask("100") == "90")
        #expect(try victim.ask("100") == "90")
        try Tool.expect(0, ["status"] + target, says: ["No patch is applied"])

        try Tool.expect(0, ["apply", patch.string] + target, says: ["applied '\(name)'"])
        #expect(try victim.ask("100") == "80")
        try expectStatus("applied", of: name, in: victim)
        try Tool.expect(0, ["apply", patch.string] + target, says: ["applied already"])
        #expect(try victim.ask("200") == "160")

        try Tool.expect(0, ["revert", name] + target, says: ["reverted '\(name)'"])
        #expect(try victim.ask("100") == "90")
        try expectStatus("reverted", of: name, in: victim)
        try Tool.expect(0, ["revert", name] + target, says: ["reverted already"])
        let mappingsReverted = try facts.maps().count
        // Code, and data that may not be executable, and what separates them.
        #expect(mappingsReverted - mappings <= 3)

        try Tool.expect(0, ["apply", patch.string] + target, says: ["applied '\(name)'"])
        #expect(try victim.ask("100") == "80")
        #expect(try facts.maps().count == mappingsReverted)
        try Tool.expect(0, ["revert", "--all"] + target, says: ["reverted '\(name)'"])
        #expect(try victim.ask("100") == "90")

        #expect(try facts.startTime() == started)
        #expect(try subject.base.bytes() == contents)
    }

    /// All that `status` tells comes from the process.
    private func expectStatus(_ state: String, of name: String, in victim: Victim) throws {
        let patches = try Tool.json(["status", "--pid", "\(victim.pid)"])
            .member("patches").elements()
        let patch = try #require(patches.count == 1 ? patches.first : nil)
        #expect(try patch.member("patch").string() == name)
        #expect(try patch.member("state").string() == state)
        #expect(try patch.member("pid").integer() == Int64(victim.pid))
        let function = try #require(try patch.member("functions").elements().first)
        #expect(try function.member("symbol").string() == "discount")
    }

    /// No mapping is writable and executable at once, at any stage.
    @Test func codeIsNeverWritable() throws {
        let subject = try Subject(.positionIndependent)
        let patch = try Patch.build("kinds-fix", for: subject.base, name: "kinds-writable")
        let victim = try startVictim(subject.program)
        for command in [["apply", patch.string], ["revert", "kinds-writable"]] {
            try Tool.expect(0, command + ["--pid", "\(victim.pid)"])
            let writable = try ProcessFacts(victim).maps().filter { $0.contains(" rwx") }
            #expect(writable.isEmpty)
        }
    }
}
