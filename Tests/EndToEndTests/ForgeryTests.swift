import Addresses
import LiveProcess
import PatchFile
import PatchLinker
import Switchover
import SystemPackage
import TestSupport
import Testing

/// What a payload says of itself, and the journal of a switch, lie in memory that the
/// program can write. Whatever it writes there, the tool is not led astray.
@Suite struct ForgeryTests {
    /// A program whose children are copies of it, with patches applied to each.
    private struct Family {
        let choir: HardTargetsTests.Choir
        let records: [PayloadRecord]
        let children: [TargetProcess]

        init(of count: Int) throws {
            choir = try HardTargetsTests.Choir("quartet")
            try choir.apply()
            let parent = try TargetProcess.find(ProcessID(rawValue: choir.victim.pid))
            records = try Switchover.status(of: parent).map(\.record)
            #expect(records.count == 2)
            children = try (0..<count).map { [choir] _ in
                let child = try choir.victim.ask("fork").split(separator: " ").last
                return try TargetProcess.find(
                    ProcessID(rawValue: #require(child.flatMap { Int32($0) })))
            }
        }

        var detours: [PayloadRecord.Detour] { records.flatMap(\.detours) }

        /// What each child sings, if it lives; 0 where its voices differ.
        func versions() throws -> [Int] {
            try choir.victim.ask("children").split(separator: " ").map {
                Int($0.drop { $0 != ":" }.dropFirst()) ?? -1
            }
        }

        /// Every site has the original's bytes, or a jump to the patch or its stub.
        func expectSound(_ child: TargetProcess, _ history: String) throws {
            let memory = ProcessMemory(of: child.id)
            for detour in detours {
                let found = try memory.read(detour.site, count: detour.original.count)
                let sound = [.original, .code(detour.entry), .code(detour.stub)].compactMap {
                    detour.bytes(leadingTo: $0)?.site
                }
                #expect(sound.contains(found), "'\(detour.symbol)' after \(history)")
            }
        }

        /// Whatever can be done to a process, in this one: what it says is of no
        /// interest, but that it says something is.
        func handle(_ child: TargetProcess, _ random: inout Mutator) throws -> String {
            let options = SwitchOptions(timeout: .milliseconds(200))
            let patches = try choir.patches.map { try PatchFile.read(path: FilePath($0)) }
            var history: [String] = []
            for _ in 0..<3 {
                let number = random.next(below: 5)
                history.append(["status", "recover", "revert", "revert all", "apply"][number])
                do throws(SwitchoverError) {
                    switch number {
                    case 0: _ = try Switchover.status(of: child)
                    case 1: _ = try Switchover.recover(child, options: options)
                    case 2: _ = try Switchover.revert("upper", in: child, options: options)
                    case 3: _ = try Switchover.revertAll(in: child, options: options)
                    default: _ = try Switchover.apply(patches, to: child, options: options)
                    }
                } catch {
                    history.append("(\(error))")
                }
            }
            return history.joined(separator: ", ")
        }
    }

    // MARK: - The state and the journal

    /// Words of the state become others that may mean something there.
    @Test func aForgedJournalLeadsNobodyAstray() throws {
        let family = try Family(of: 60)
        let seed = UInt64.random(in: 0 ... .max)
        var random = Mutator(seed: seed)
        let places = family.detours.flatMap { detour in
            [detour.site, detour.entry, detour.stub, detour.moved ?? detour.site]
        }
        let words =
            (places + family.records.compactMap(\.decisionWord)).map(\.rawValue)
            + [0, 1, 8, .max, .max - 7, 1 << 63, 0x1000]
        for child in family.children {
            let memory = ProcessMemory(of: child.id)
            var history = "seed \(seed):"
            for _ in 0...random.next(below: 4) {
                let record = family.records[random.next(below: family.records.count)]
                let state = try #require(record.statePlace)
                // The first word says that it is a state.
                let count = Int(PayloadState.size(detourCount: record.detours.count) / 8)
                let number = 1 + random.next(below: count - 1)
                let place = try #require(state.advanced(by: UInt64(number) * 8))
                let word = words[random.next(below: words.count)]
                try memory.write((0..<8).map { UInt8(word >> ($0 * 8) & 0xff) }, at: place)
                history += " word \(number) of '\(record.name)' = \(word);"
            }
            history += " " + (try family.handle(child, &random))
            try family.expectSound(child, history)
        }
        // They sing still, the old or the new.
        let versions = try family.versions()
        #expect(versions.count == 60 && versions.allSatisfy((0...2).contains))
        try family.choir.expectVersion(2)
    }

    /// A journal that would lead functions into code of somebody else's.
    @Test(arguments: ["before", "after", "beneath"])
    func aJournalLeadsOnlyToWhatIsOurs(_ which: String) throws {
        let family = try Family(of: 1)
        let child = family.children[0]
        let target = ["--pid", "\(child.id)"]
        let memory = ProcessMemory(of: child.id)
        let record = try #require(family.records.first { $0.name == "upper" })
        let place = try #require(record.statePlace)
        let size = Int(PayloadState.size(detourCount: record.detours.count))
        var state = try #require(
            PayloadState(
                parsing: try memory.read(place, count: size), detourCount: record.detours.count))
        let foreign = try #require(record.detours[0].site.advanced(by: 3)).rawValue
        for index in record.detours.indices {
            let (site, entry) = (record.detours[index].site, record.detours[index].entry)
            state.entries[index].before = which == "before" ? foreign : site.rawValue
            state.entries[index].after = which == "after" ? foreign : entry.rawValue
            if which == "beneath" { state.entries[index].beneath = foreign }
        }
        state.isSwitching = which != "beneath"
        state.decision = try #require(record.decisionWord)
        try memory.write(state.bytes, at: place)
        let sites = try record.detours.map { try memory.read($0.site, count: 5) }
        let isBeneath = which == "beneath"
        let code = isBeneath ? "switch.damaged-payload" : "switch.damaged-journal"
        let others = try Patch.build(
            "chorus-fix", for: family.choir.program, name: "other",
            options: ["--", "-DVERSION=3", "-DTENOR"])
        for command in [["revert", "upper"], ["revert", "--all"], ["apply", others.string]] {
            try Tool.expect(2, command + target, says: ["'upper'", code])
        }
        if isBeneath {
            try Tool.expect(0, ["recover"] + target, says: ["nothing to put right"])
        } else {
            try Tool.expect(2, ["recover"] + target, says: ["'upper'", code])
        }
        try Tool.expect(
            0, ["status"] + target, says: ["upper", isBeneath ? "damaged" : "interrupted"])
        #expect(try record.detours.map { try memory.read($0.site, count: 5) } == sites)
        #expect(try family.versions() == [2])
    }

    // MARK: - The record

    /// The program can give what says what the payload is another content. It harms
    /// nobody but itself.
    @Test func aForgedRecordHarmsNoTool() throws {
        let family = try Family(of: 60)
        let seed = UInt64.random(in: 0 ... .max)
        var random = Mutator(seed: seed)
        for child in family.children {
            let memory = ProcessMemory(of: child.id)
            for record in family.records {
                let start = record.extent.start
                let head = try memory.read(start, count: PayloadHeader.size)
                let length = try #require(PayloadHeader.recordLength(head: head))
                let text = try memory.read(start, count: PayloadHeader.size + length)
                // Digits and letters for others, so that most of it is a record still.
                var forged = text
                for _ in 0...random.next(below: 6) {
                    let index = PayloadHeader.size + random.next(below: length)
                    let isHexadecimal = "0123456789abcdef".utf8.contains(forged[index])
                    let byte = UInt8(truncatingIfNeeded: random.next())
                    forged[index] =
                        isHexadecimal ? Array("0123456789abcdef".utf8)[Int(byte % 16)] : byte
                }
                try memory.write(forged, at: start)
            }
            _ = try family.handle(child, &random)
        }
        try family.choir.expectVersion(2)
        try family.choir.revert()
        try family.choir.expectVersion(1)
    }
}
