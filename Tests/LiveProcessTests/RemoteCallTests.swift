import Addresses
import Glibc
import LiveProcess
import SystemPackage
import TestSupport
import Testing

@Suite(.serialized) struct RemoteCallTests {
    private static let place = AddressRange(
        start: RemoteAddress(rawValue: 0x1234_5670_0000), count: 8192)

    /// A file in memory mapped, and everything given back.
    private func mapAndUnmap(_ target: TargetProcess) throws {
        let place = try #require(Self.place)
        let code: [UInt8] = [0xc3]  // ret
        try target.withRemoteCalls { calls throws(LiveProcessError) in
            let file = try calls.createMemoryFile(named: "hotpatch:test")
            try target.fill(file, with: code)
            try calls.map(place, [.read, .execute], from: file)
            try calls.close(file)
        }
        let region = try #require(try target.memoryMap().region(at: place.start))
        #expect(region.path == "/memfd:hotpatch:test")
        #expect(region.isExecutable && !region.isWritable && !region.isShared)
        #expect(region.range == place)
        #expect(try target.read(place.start, count: 2) == code + [0])
        try target.withRemoteCalls { calls throws(LiveProcessError) in try calls.unmap(place) }
        #expect(try target.memoryMap().region(at: place.start) == nil)
    }

    /// The whole vDSO, in whose tail the stub is placed first.
    private func stubArea(_ target: TargetProcess) throws -> [UInt8] {
        let region = try #require(try target.memoryMap().region(named: "[vdso]"))
        return try target.read(region.range.start, count: Int(region.range.count))
    }

    @Test(arguments: [
        "futex", "futex_finite", "nanosleep", "poll", "epoll_wait", "epoll_finite", "accept",
        "recv_timeout", "sigtimedwait", "semop", "wait4", "flock", "io_getevents", "sigsuspend",
    ])
    func aBlockedThreadCallsAndBlocksOn(_ call: String) throws {
        let target = try StartedTarget("blockers", [call, "alone"])
        let before = try stubArea(target.process)
        for _ in 0..<20 { try mapAndUnmap(target.process) }
        #expect(try stubArea(target.process) == before)
        #expect(try target.victim.ask("report") == "none")
    }

    @Test func runningThreadsKeepTheirState() throws {
        let target = try StartedTarget("spinners", ["0", "2", "0"])
        for _ in 0..<50 { try mapAndUnmap(target.process) }
        try target.expectProgress("rounds", beyond: try target.number("rounds"))
        #expect(try target.number("wrong") == 0)
    }

    @Test func callsSucceedAmidSignals() throws {
        let target = try StartedTarget("signals", ["20000", "2000"])
        try target.victim.send("go")
        var calls = 0
        while try target.process.facts().threadCount > 6 || calls < 20 {
            try mapAndUnmap(target.process)
            calls += 1
        }
        #expect(try target.victim.readLine() == "done queued=20000,20000 interrupted=2000,2000")
    }

    @Test func aTakenPlaceIsNotMappedOver() throws {
        let target = try StartedTarget("spinners", ["0", "0", "1"])
        let map = try target.process.memoryMap()
        let taken = try #require(map.region(named: "[stack]")).range
        #expect(throws: LiveProcessError.remoteCall(target.process.id, name: "mmap", .fileExists)) {
            try target.process.withRemoteCalls { calls throws(LiveProcessError) in
                try calls.map(taken, [.read], from: nil)
            }
        }
    }

    @Test func anAddressSpaceLimitIsLiftedForTheCall() throws {
        let target = try StartedTarget("spinners", ["0", "0", "1"])
        let set = try Command.run(
            "prlimit", ["--pid", "\(target.victim.pid)", "--as=1000000:4000000000"])
        try #require(set.succeeded)
        try mapAndUnmap(target.process)
        let limit = try Command.run(
            "prlimit", ["--pid", "\(target.victim.pid)", "--as", "--noheadings", "-o", "SOFT"])
        #expect(limit.output.contains("1000000"))
    }

    @Test func aSeccompFilterIsRefusedOrSuspended() throws {
        let target = try StartedTarget("filtered")
        #expect {
            try mapAndUnmap(target.process)
        } throws: { error in
            if case LiveProcessError.seccomp(_, _, .forbidden("memfd_create")) = error {
                true
            } else {
                false
            }
        }
        let place = try #require(Self.place)
        try target.process.withRemoteCalls(seccomp: .suspend) { calls throws(LiveProcessError) in
            try calls.map(place, [.read], from: nil)
        }
        #expect(try target.process.memoryMap().region(at: place.start) != nil)
        #expect(try target.victim.ask("hello") == "alive")
    }

    /// Of filters that tell calls apart by their arguments, what they permit is done, and
    /// nothing that they kill for.
    @Test func whatASeccompFilterPermitsIsDone() throws {
        let target = try StartedTarget("shutin")
        let place = try #require(Self.place)
        for protection: RemoteProtection in [[.read, .execute], [.read, .write]] {
            try target.process.withRemoteCalls { calls throws(LiveProcessError) in
                let file = try calls.createMemoryFile(named: "permitted")
                try calls.map(place, protection, from: nil)
                try calls.unmap(place)
                try calls.close(file)
            }
        }
        #expect {
            try target.process.withRemoteCalls { calls throws(LiveProcessError) in
                try calls.map(place, [.read, .write, .execute], from: nil)
            }
        } throws: { error in
            if case LiveProcessError.seccomp(_, _, .forbidden("mmap")) = error {
                true
            } else {
                false
            }
        }
        #expect {
            try target.process.withRemoteCalls { calls throws(LiveProcessError) in
                try calls.perform(.init(number: 39, name: "getpid"))
            }
        } throws: { error in
            if case LiveProcessError.seccomp(_, _, .forbidden("getpid")) = error {
                true
            } else {
                false
            }
        }
        #expect(try target.victim.ask("hello") == "alive")
    }

    // MARK: Killed at any moment

    @Test(arguments: [
        ("spinners", ["0", "2", "0"]), ("blockers", ["futex", "alone"]),
        ("blockers", ["nanosleep", "alone"]), ("blockers", ["poll", "alone"]),
        ("blockers", ["epoll_wait", "alone"]), ("blockers", ["accept", "alone"]),
    ])
    func aKilledToolHarmsNothing(_ fixture: String, _ arguments: [String]) throws {
        let target = try StartedTarget(fixture, arguments)
        let clean = try stubArea(target.process)
        let tool = try BuiltProduct.path("live-process-exerciser")
        var random = SystemRandomNumberGenerator()
        for _ in 0..<40 {
            let helper = try Victim(tool, ["calls", "\(target.process.id)"])
            #expect(try helper.readLine() == ".")
            // Somewhere in the next rounds, each of which takes less than 2 ms.
            usleep(UInt32.random(in: 0..<3000, using: &random))
            helper.kill()
            if fixture == "spinners" {
                try target.expectProgress("rounds", beyond: try target.number("rounds"))
                #expect(try target.number("wrong") == 0)
            } else {
                // Killed between a thread's stop and what hides it, the tool leaves
                // what any stop leaves: EINTR of the calls that a stop interrupts.
                let report = try target.victim.ask("report")
                #expect(report == "none" || report.hasPrefix("epoll_wait:\(EINTR)*"))
            }
        }
        let (_, kept) = try target.process.clearAbandonedStubs()
        #expect(kept == 0)
        #expect(try stubArea(target.process) == clean)
        // The last of them may have left its mapping.
        let place = try #require(Self.place)
        try target.process.withRemoteCalls { calls throws(LiveProcessError) in
            try calls.unmap(place)
        }
        try mapAndUnmap(target.process)
    }
}
