import Addresses
import LiveProcess
import TestSupport
import Testing

@Suite struct SmokeTests {
    @Test func remoteMmap() throws {
        let victim = try Victim(Fixture.compile("threads"), ["3"])
        _ = try victim.readLine()
        let target = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        let place = try #require(
            AddressRange(start: RemoteAddress(rawValue: 0x1234_5670_0000), count: 8192))
        try target.withRemoteCalls { calls throws(LiveProcessError) in
            let file = try calls.createMemoryFile(named: "hotpatch:test")
            try target.fill(file, with: [0xc3, 1, 2])
            try calls.map(place, [.read, .execute], from: file)
            try calls.close(file)
        }
        #expect(try target.memoryMap().region(at: place.start)?.path == "/memfd:hotpatch:test")
        #expect(try target.read(place.start, count: 4) == [0xc3, 1, 2, 0])
        let outcome = try target.withAllThreadsStopped { $0.threads.count }
        guard case .done(4, _) = outcome else { Issue.record("\(outcome)"); return }
            process.threads.map(\.registers.systemCall)
        }
        victim.closeInput()
        #expect(try victim.waitForExit() == .exited(0))
    }
}
