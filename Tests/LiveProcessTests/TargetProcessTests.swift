import Addresses
import ELFImage
import Glibc
import LiveProcess
import SystemPackage
import TestSupport
import Testing

@Suite struct TargetProcessTests {
    private func start(threads: Int = 3, flags: [String] = []) throws -> (Victim, UInt64) {
        let program = try Fixture.compile("threads", flags: ["-O1", "-pthread"] + flags)
        let victim = try Victim(program, ["\(threads)"])
        let address = try victim.readLine(startingWith: "ready 0x")
        return (victim, try #require(UInt64(address, radix: 16)))
    }

    @Test func aProcessIsDescribed() throws {
        let (victim, _) = try start()
        let target = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        let facts = try target.facts()
        #expect(facts.name == "threads")
        #expect(facts.threadCount == 4)
        #expect(facts.tracer == nil)
        #expect(facts.seccompMode == 0)
        #expect(facts.userID == geteuid())
        #expect(facts.parent.rawValue == getpid())
        let threads = try target.threads()
        #expect(threads.count == 4)
        #expect(threads.contains(ThreadID(rawValue: victim.pid)))
        #expect(threads.filter { target.name(of: $0) == "sleeper" }.count == 3)
        #expect(target.isAlive)
        victim.kill()
        #expect(!target.isAlive)
        #expect(throws: LiveProcessError.ended(target.id)) { try target.memoryMap() }
    }

    @Test func thereIsNoSuchProcess() throws {
        let (victim, _) = try start()
        victim.kill()
        let id = ProcessID(rawValue: victim.pid)
        #expect(throws: LiveProcessError.noSuchProcess(id)) { try TargetProcess.find(id) }
        #expect(throws: LiveProcessError.self) { try TargetProcess.find(ProcessID(rawValue: -1)) }
        // A thread of another process is not a process, but /proc knows it.
        #expect(throws: LiveProcessError.self) {
            try TargetProcess.find(ProcessID(rawValue: .max))
        }
    }

    @Test func kernelThreadsAreRefused() throws {
        #expect(throws: LiveProcessError.kernelThread(ProcessID(rawValue: 2), name: "kthreadd")) {
            try TargetProcess.find(ProcessID(rawValue: 2))
        }
    }

    @Test func rootIsNotSentToRoot() {
        let advice = PermissionCause.unknown.description
        #expect(advice.contains("run this as root") == (geteuid() != 0))
    }

    @Test func programsForOtherMachinesAreRefused() throws {
        let (victim, _) = try start()
        try TargetProcess.find(ProcessID(rawValue: victim.pid)).requireSupportedProgram()
    }

    @Test(arguments: [["-pie", "-fPIE"], ["-no-pie"], ["-static"], ["-static-pie", "-fPIE"]])
    func theProgramIsFoundWhereItIsLoaded(_ flags: [String]) throws {
        let (victim, address) = try start(flags: flags)
        let target = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        try target.requireSupportedProgram()
        let objects = try target.loadedObjects()
        let program = try #require(objects.first { $0.isProgram })
        let image = try target.openImage(of: program)
        #expect(program.buildID != nil)
        #expect(program.buildID == image.notes.buildID)
        let table = try #require(try image.symbolTable(.full))
        let main = try table.symbol(try #require(table.indexes(named: "main").first)).value
        #expect(program.bias.remote(main).rawValue == address)
        let order = try target.symbolLookupOrder(of: objects)
        #expect(order.first?.path == program.path)
        #expect(order.count == (flags[0].hasPrefix("-static") ? 1 : objects.count))
        if order.count > 1 { #expect(order[1].path.contains("libc.so")) }
    }

    @Test func memoryIsRead() throws {
        let (victim, address) = try start()
        let target = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        let main = RemoteAddress(rawValue: address)
        let map = try target.memoryMap()
        let text = try #require(map.region(at: main))
        #expect(text.isExecutable && !text.isWritable && text.isFile)
        let once = try target.read(main, count: 64)
        let range = try #require(AddressRange(start: main, count: 64))
        let many = try target.read([AddressRange<RemoteAddress>](repeating: range, count: 3000))
        #expect(many.count == 3000 && many.allSatisfy { $0 == once })
        var words = [UInt64](repeating: 0, count: 8)
        #expect(target.readWords(at: main, into: &words) == 8)
        #expect(UInt8(truncatingIfNeeded: words[0]) == once[0])
        let nowhere = RemoteAddress(rawValue: 8)
        #expect(target.readWords(at: nowhere, into: &words) == 0)
        #expect(throws: LiveProcessError.self) { try target.read(nowhere, count: 8) }
        #expect(throws: LiveProcessError.self) { try target.read(main, count: -1) }
        #expect(throws: LiveProcessError.self) {
            try target.read(RemoteAddress(rawValue: .max), count: 8)
        }
        let stack = try #require(map.region(named: "[stack]"))
        #expect(throws: LiveProcessError.self) {
            try target.read(stack.range.start, count: Int(stack.range.count) + 4096)
        }
    }

    @Test func whatARestartWouldLoadIsTold() throws {
        let folder = try TemporaryDirectory()
        let path = folder.path.appending("copy")
        let build = try Fixture.compile("threads", flags: ["-O1", "-pthread"])
        #expect(try Command.run("cp", [build.string, path.string]).succeeded)
        let victim = try Victim(path, ["0"])
        _ = try victim.readLine()
        let target = try TargetProcess.find(ProcessID(rawValue: victim.pid))
        func program() throws -> LoadedObject {
            try #require(try target.loadedObjects().first(where: \.isProgram))
        }
        #expect(try target.successor(of: program()) == nil)
        #expect(
            try Command.run("cp", ["--remove-destination", "/bin/true", path.string]).succeeded)
        let successor = try #require(try target.successor(of: program()))
        #expect(try successor.notes.buildID != program().buildID)
        #expect(unsafe unlink(path.string) == 0)
        #expect(throws: LiveProcessError.self) { try target.successor(of: program()) }
        // Nobody writes to it.
        #expect(unsafe mkfifo(path.string, 0o600) == 0)
        #expect(throws: LiveProcessError.self) { try target.successor(of: program()) }
    }

    @Test func aDeletedProgramIsStillOpened() throws {
        let program = try Fixture.compile("threads", flags: ["-O1", "-pthread"])
        let directory = try TemporaryDirectory()
        let copy = directory.path.appending("copy")
        #expect(try Command.run("cp", [program.string, copy.string]).succeeded)
        let victim = try Victim(copy, ["0"])
        _ = try victim.readLine()
        let id = ProcessID(rawValue: victim.pid)
        #expect(try ProcessSearch.running(copy).found == [id])
        #expect(
            try Command.run("cp", ["--remove-destination", "/bin/true", copy.string]).succeeded)
        #expect(try ProcessSearch.running(copy).found == [id])
        #expect(unsafe unlink(copy.string) == 0)
        #expect(try ProcessSearch.running(copy).found == [id])
        let target = try TargetProcess.find(id)
        let object = try #require(try target.loadedObjects().first { $0.isProgram })
        #expect(object.isDeleted)
        #expect(object.path == copy.string)
        #expect(try target.openImage(of: object).notes.buildID == object.buildID)
        let buildID = try #require(object.buildID)
        #expect(try ProcessSearch.mapping(buildID).found.contains(id))
    }
}
