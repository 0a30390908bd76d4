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
        let outcome = try target.withAllThreadsStopped { process in process.threads.count }
        guard case .done(4, _) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        victim.closeInput()
        #expect(try victim.waitForExit() == .exited(0))
    }
}
