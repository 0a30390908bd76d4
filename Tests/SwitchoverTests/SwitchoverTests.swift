import Addresses
import ELFImage
import LiveProcess
import PatchFile
import PatchLinker
import Switchover
import SystemPackage
import TestSupport
import Testing

/// A patch goes into a running program and out again.
@Suite struct SwitchoverTests {
    @Test(arguments: [["-O2"], ["-O2", "-no-pie"], ["-O2", "-static"], ["-O2", "-static-pie"]])
    func thereAndBackAgain(_ flags: [String]) throws {
        let directory = try TemporaryDirectory()
        let program = directory.path.appending("counter")
        let sources = Fixture.sources.appending("switchover")
        try Fixture.compile(
            source: sources.appending("counter.c"), to: program, flags: flags)
        let patch = try HandmadePatch.make(
            name: "answer", fix: sources.appending("counter-fix.c"), base: program,
            replacing: ["scale"], in: directory)
        let victim = try Victim(program)
        #expect(try victim.readLine() == "ready")
        #expect(try victim.ask("3") == "scale 6 calls 1")

        let process = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        let before = try process.memoryMap().regions.count
        let report = try Switchover.apply(patch, to: process)
        #expect(report.outcome == .applied)
        #expect(try victim.ask("3") == "fixed 5 limit 7 applied 1")
        #expect(try victim.readLine() == "scale -3 calls 11")
        #expect(try Switchover.status(of: process).map(\.state) == [.applied])
        #expect(try Switchover.apply(patch, to: process).outcome == .alreadyApplied)

        #expect(try Switchover.revert("answer", in: process).outcome == .reverted)
        #expect(try victim.ask("4") == "scale 8 calls 12")
        #expect(try Switchover.status(of: process).map(\.state) == [.reverted])
        let after = try process.memoryMap().regions.count
        #expect(after - before <= 4)

        #expect(try Switchover.apply(patch, to: process).outcome == .applied)
        #expect(try victim.ask("5") == "fixed 5 limit 7 applied 2")
        #expect(try victim.readLine() == "scale -5 calls 22")
        #expect(try process.memoryMap().regions.count == after)
        #expect(try Switchover.revertAll(in: process).count == 1)
        #expect(try victim.ask("9") == "scale 7 calls 23")
    }

    /// A tool that is killed between the mapping of a file and its filling leaves an
    /// empty one, of which nothing can be read.
    @Test func whatWasNeverFilledIsTakenOut() throws {
        let directory = try TemporaryDirectory()
        let program = directory.path.appending("counter")
        try Fixture.compile(
            source: Fixture.sources.appending("switchover/counter.c"), to: program, flags: ["-O2"])
        let victim = try Victim(program)
        #expect(try victim.readLine() == "ready")
        let process = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        let before = try process.memoryMap().regions.count
        let place = try #require(
            AddressRange(start: RemoteAddress(rawValue: 0x1234_5670_0000), count: 4096))
        try process.withRemoteCalls { calls throws(LiveProcessError) in
            let file = try calls.createMemoryFile(named: "hotpatch:empty")
            try calls.map(place, [.read], from: file)
            try calls.close(file)
        }
        #expect(try Switchover.status(of: process).isEmpty)
        #expect(try Switchover.recover(process).payloadsRemoved == 1)
        #expect(try process.memoryMap().regions.count == before)
        #expect(try victim.ask("3") == "scale 6 calls 1")
    }

    /// Patches come and go, each of them another; their room is used again where
    /// nothing can point there. At most one that is out stays mapped.
    @Test func manyPatchesInTurnTakeNoMoreRoom() throws {
        let directory = try TemporaryDirectory()
        let program = directory.path.appending("counter")
        let sources = Fixture.sources.appending("switchover")
        try Fixture.compile(
            source: sources.appending("counter.c"), to: program, flags: ["-O2"])
        let first = try HandmadePatch.make(
            name: "first", fix: sources.appending("counter-check.c"), base: program,
            replacing: ["scale"], in: directory)
        let object = try HandmadePatch.contents(of: directory.path.appending("first.o"))
        let victim = try Victim(program)
        #expect(try victim.readLine() == "ready")
        let process = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        let before = try process.memoryMap().regions.count
        var options = SwitchOptions()
        options.reusesRooms = true
        for number in 0..<1000 {
            var manifest = first.manifest
            manifest.name = "fix-\(number)"
            let patch = try PatchFile.make(
                object: object, manifest: manifest, name: manifest.name
            ).patch
            #expect(try Switchover.apply(patch, to: process, options: options).outcome == .applied)
            if number % 100 == 0 { #expect(try victim.ask("2") == "scale 6 calls 0") }
            #expect(try Switchover.revert(manifest.name, in: process).outcome == .reverted)
            // Three regions of one payload.
            try #require(process.memoryMap().regions.count <= before + 3)
        }
        #expect(try victim.ask("2") == "scale 4 calls 1")
        #expect(try Switchover.status(of: process).map(\.record.name) == ["fix-999"])
    }

    /// A fix that passes on the address of a string of its own stays for good.
    @Test func roomThatMayBePointedToIsKept() throws {
        let directory = try TemporaryDirectory()
        let program = directory.path.appending("counter")
        let sources = Fixture.sources.appending("switchover")
        try Fixture.compile(
            source: sources.appending("counter.c"), to: program, flags: ["-O2"])
        let victim = try Victim(program)
        #expect(try victim.readLine() == "ready")
        let process = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        for name in ["one", "two"] {
            let patch = try HandmadePatch.make(
                name: name, fix: sources.appending("counter-fix.c"), base: program,
                replacing: ["scale"], in: directory)
            var options = SwitchOptions()
            options.reusesRooms = true
            _ = try Switchover.apply(patch, to: process, options: options)
            _ = try Switchover.revert(name, in: process)
        }
        let patches = try Switchover.status(of: process)
        #expect(Set(patches.map(\.record.name)) == ["one", "two"])
        #expect(patches.allSatisfy { !$0.record.isConfined })
    }
}
